"""The pages: one module for each, with `show()`, which the script in `pages/` calls.

    shell.require_entry()
    concept.show()

A page reads its state (`ConceptPage.read()`), opens the chosen model (`chosen.open_chosen("concepts")`) and draws. No page imports another:
what two of them need is in `cbm.study`, `cbm.ui.widgets` or `cbm.ui.frame`.
"""
