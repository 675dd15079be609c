"""Take the concept model along, edits included: formats, the card as it will read, a checked download, and code to use or repeat it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import streamlit as st

from cbm.core.errors import CbmError, InvalidInputError
from cbm.editing.recipe import Recipe
from cbm.jobs import Job
from cbm.model import export, usage_examples
from cbm.model.bundle_archive import pack
from cbm.model.concept_model import ConceptModel
from cbm.model.export import ABOUT, BuiltExport, PlannedFile
from cbm.reproduction import reproduction
from cbm.study.report import report_html
from cbm.ui.access import modes
from cbm.ui.frame import cache, chosen, edits, layout, messages, resources
from cbm.ui.frame.formats import counted, plain, size
from cbm.ui.frame.layout import page_title
from cbm.ui.frame.slots import Slot, widget_value
from cbm.ui.frame.state import ExportPage, short
from cbm.ui.pages.export import loading
from cbm.ui.widgets import job_panel
from cbm.workspace.workspace import Workspace

IN_MEMORY = 60_000_000
"""Bytes up to which an export is made while the visitor waits, in memory; larger ones are a job that writes to the workspace."""
KIND = "export"


class Request(NamedTuple):
    """What is to be exported."""

    root: str
    model: str
    recipe: Recipe
    stored: Recipe
    """The edits that the model was saved with."""
    formats: tuple[str, ...]

    @property
    def name(self) -> str:
        """Of the folder in the .zip."""
        return export.export_name(self.model, self.recipe, self.stored)


_BUILT = Slot[tuple[str, str, tuple[str, ...]] | None]("export_built", None)
"""Model, recipe and formats of the export that the visitor asked for."""


def show() -> None:
    root = modes.workspace_root()
    catalogue = resources.catalogue(root)
    page_title("Export", "Export the concept model: choose formats, preview the model card, download.")
    if not catalogue.models:
        layout.no_models("models to export")
        loading.panel(first=True)
        return
    model = chosen.current()
    study, recipe = resources.study(root, model), edits.recipe(model)
    edited = study.model.with_recipe(recipe)
    active = len(recipe.active)
    st.markdown(
        f"**{plain(catalogue.models[model])}**: {counted(study.concept_count, 'concept')}, {len(study.class_names):,} classes, "
        + (f"with {counted(active, 'edit')} in force." if active else "without edits.")
    )
    left, right = st.columns(2, gap="large")
    with left:
        st.subheader("What goes into it", anchor=False)
        request = Request(root, model, recipe, study.model.recipe, _format_choice(edited))
        files = export.planned_files(edited, request.formats)
        _download(request, files)
        _contents(files, request.formats)
        _folder(request)
        _report(request)
    with right:
        st.subheader("Preview of the model card", anchor=False)
        _card(export.card_text(edited, study.metrics, request.formats))
    _script(root, model, recipe)
    _examples(edited, request)
    loading.panel()


# What goes in


def _format_choice(model: ConceptModel) -> tuple[str, ...]:
    """Which formats; the bundle always."""
    possible = export.possible_formats(model)
    if possible == ("bundle",):
        st.caption("This dictionary is not a JumpReLU one, so neither ONNX nor SAELens can hold it: the bundle alone.")
        return possible
    wanted = st.pills(
        "Additional formats",
        possible[1:],
        selection_mode="multi",
        default=possible[1:] if _total(export.planned_files(model, possible)) <= IN_MEMORY else ("onnx",),
        key=ExportPage.key("formats"),
        format_func=lambda name: ABOUT[name][0],
    )
    return ("bundle", *(name for name in possible[1:] if name in wanted))


def _total(files: Sequence[PlannedFile]) -> int:
    return sum(file.size for file in files)


def _contents(files: Sequence[PlannedFile], formats: Sequence[str]) -> None:
    """What will be in it, and about how large."""
    for name in formats:
        st.caption(f"**{ABOUT[name][0]}.** {ABOUT[name][1]}")
    lines = ["| File | Size | Content |", "| :-- | --: | :-- |"]
    lines += [f"| `{file.name}` | {size(file.size)} | {file.what} |" for file in files]
    st.markdown("\n".join(lines))
    st.caption(f"About {size(_total(files))} altogether. The backbone's own weights are not part of it.")


def _card(text: str) -> None:
    """The card as a reader of the exported model will see it."""
    with st.container(border=True, height=640, key=ExportPage.key("card")):
        # One level smaller: on this page the card is a part, not the whole.
        st.markdown("\n".join(f"##{line}" if line.startswith("#") else line for line in _outside_code(text)), anchors=False)


def _outside_code(text: str) -> list[str]:
    """Lines in which a # at the start is a heading: comments in code get a leading blank, which code does not show."""
    lines, inside = [], False
    for line in text.splitlines():
        inside ^= line.startswith("```")
        lines.append(f"\u200b{line}" if inside and line.startswith("#") else line)
    return lines


# Download


@cache.remember("Writing, reloading and comparing …")
def built(root: str, model: str, recipe: str, formats: tuple[str, ...], name: str) -> BuiltExport:
    """Kept by ids and the recipe's text, so that the download and the page show one and the same file."""
    study = resources.study(root, model)
    metrics = dict(Workspace(root).get(model, "model").metrics)
    return export.build_export(study.model.with_recipe(Recipe.from_json(recipe)), study.held_out.embeddings, metrics, formats, name)


def _download(request: Request, files: Sequence[PlannedFile]) -> None:
    """Build the .zip, say whether it computes what the model computes, and hand it out."""
    if _total(files) > IN_MEMORY:
        _large(request, _total(files))
        return
    asked = (request.model, export.recipe_digest(request.recipe), request.formats)
    if _BUILT.get() != asked:
        st.button(
            "Build and check",
            key=ExportPage.key("build"),
            type="primary",
            icon=":material/deployed_code:",
            on_click=_BUILT.put,
            args=(asked,),
            help="Writes the files, reads them back, and compares their predictions with the model's own.",
        )
        return
    done = built(request.root, request.model, request.recipe.to_json(), request.formats, request.name)
    _check(done.onnx_difference, done.bundle_difference, done.rows)
    st.download_button(
        f"Download {done.file_name} ({size(len(done.data))})",
        done.data,
        done.file_name,
        "application/zip",
        key=ExportPage.key("download"),
        type="primary",
        icon=":material/download:",
        on_click="ignore",
    )


def _check(onnx: float | None, bundle: float | None, rows: int) -> None:
    worst = max(onnx or 0.0, bundle or 0.0)
    parts = [f"bundle {bundle:.1e}"] if bundle is not None else []
    parts += [f"ONNX {onnx:.1e}"] if onnx is not None else []
    where = f" on {counted(rows, 'held-out image')}" if rows else ""
    text = f"Largest difference of any class score from the model's own{where}: {', '.join(parts) or 'not measured'}."
    if worst <= export.TOLERANCE:
        st.success(f"Checked. {text}", icon=":material/verified:")
    else:
        st.warning(f"{text} That is more than {export.TOLERANCE:.0e}; rounding of large scores may explain it.", icon=":material/warning:")


def _large(request: Request, total: int) -> None:
    if not modes.may_write():
        st.info(f"About {size(total)} exceeds the download limit of this demo. Choose fewer formats.", icon=":material/info:")
        return
    st.caption("This is large, so it is written to the workspace as a job; the download follows.")
    folder = Path(request.root) / "exports" / f"{request.name}-{'-'.join(request.formats)}"
    st.button(
        "Build and check",
        key=ExportPage.key("build_job"),
        type="primary",
        icon=":material/deployed_code:",
        on_click=_submit,
        args=(request, folder),
    )
    job = job_panel.latest(request.root, (KIND,))
    if job is None or job.parameters.get("model") != request.model or job.parameters.get("folder") != str(folder):
        return
    job = job_panel.watch(job.id, key=ExportPage.key("job"))
    if job.state == "done" and folder.is_dir():
        _check((job.result or {}).get("max_abs_difference"), None, 0)
        st.download_button(
            f"Download {folder.name}.zip",
            lambda: pack(folder, folder.name),
            f"{folder.name}.zip",
            "application/zip",
            key=ExportPage.key("download_job"),
            icon=":material/download:",
            on_click="ignore",
        )


def _submit(request: Request, folder: Path) -> None:
    """Callback: ask for the work."""
    parameters = {"model": request.model, "folder": str(folder), "formats": list(request.formats)}
    if request.recipe != request.stored:
        parameters["recipe"] = json.loads(request.recipe.to_json())
    job_panel.ask(KIND, parameters, title=f"Export {short(request.model)} to {folder.name}")


def _folder(request: Request) -> None:
    """Write to a folder of this machine; only where that is the visitor's own."""
    if not modes.may_use_paths():
        return
    with st.expander("Save to a folder instead", icon=":material/folder:"):
        text = st.text_input("Folder", key=ExportPage.key("folder"), placeholder=f"/home/me/{request.name}", icon=":material/folder_open:")
        st.button("Save", key=ExportPage.key("save"), disabled=not text, on_click=_save, args=(request,))
        job = job_panel.latest(request.root, (KIND,))
        if job is not None and text and job.parameters.get("folder") == str(Path(text).expanduser().absolute()):
            _say_saved(job_panel.watch(job.id, key=ExportPage.key("save_job")))


def _say_saved(job: Job) -> None:
    if job.state == "done" and job.result:
        st.caption(f"{counted(len(job.result['files']), 'file')} in `{job.result['bundle']}`")


def _save(request: Request) -> None:
    """Callback: export to the folder that the visitor typed."""
    with messages.refusals():
        modes.require_paths()
        text = str(widget_value(ExportPage.key("folder")) or "").strip()
        if not text:
            raise InvalidInputError("No folder was given. Enter where to write the export.")
        _submit(request, Path(text).expanduser().absolute())


def _report(request: Request) -> None:
    """The model as one file to read."""
    st.subheader("Report", anchor=False)
    st.caption(
        "One HTML file to send to people who do not have this app: figures beside baselines, concepts with their images, classes, "
        "confusions and your edits. It opens from disk, without a network."
    )
    title = resources.catalogue(request.root).models[request.model]
    st.download_button(
        "Download report",
        lambda: report_html(resources.study(request.root, request.model), title, recipe=request.recipe).encode(),
        f"report-{request.name}.html",
        "text/html",
        key=ExportPage.key("report"),
        icon=":material/summarize:",
        on_click="ignore",
    )


# Code


class _Script(NamedTuple):
    """The calls that make a model again."""

    model: str
    python: str
    shell: str
    given: tuple[str, ...]
    """What is left to fill in."""


@cache.remember()
def _reproduction(root: str, model: str, recipe: str, show_paths: bool) -> _Script | str:
    """The script, or why there is none."""
    try:
        made = reproduction(Workspace(root), model, Recipe.from_json(recipe), show_paths=show_paths)
    except CbmError as error:
        return str(error)
    return _Script(made.model, made.python, made.shell, made.given)


def _script(root: str, model: str, recipe: Recipe) -> None:
    """The calls that make this model again, the visitor's edits included."""
    st.subheader("Make it again", anchor=False)
    found = _reproduction(root, model, recipe.to_json(), modes.may_use_paths())
    if isinstance(found, str):
        st.caption(found)
        return
    text = f"From the images to `{found.model}`, edits included. The script ends with a check that it made the same model."
    if found.given:
        text += f" Fill in first: {', '.join(f'`{name}`' for name in found.given)}."
    st.caption(text)
    files = ((found.python, "python", "reproduce.py"), (found.shell, "bash", "reproduce.sh"))
    for tab, (code, language, file) in zip(st.tabs(["Python", "Shell"]), files, strict=True):
        with tab:
            st.code(code, language=language, height=320)
            st.download_button(
                f"Download {file}", code, file, "text/plain", key=ExportPage.key(file), icon=":material/download:", on_click="ignore"
            )


def _examples(model: ConceptModel, request: Request) -> None:
    """How to use what was downloaded."""
    st.subheader("Use it elsewhere", anchor=False)
    tabs = {
        "With CBM Studio": (usage_examples.library_example(), "python"),
        "Command line": (usage_examples.command_line_example(request.name), "bash"),
    }
    if "onnx" in request.formats:
        tabs = {"With ONNX": (usage_examples.onnx_example(model), "python")} | tabs
    st.caption("Once downloaded and unpacked.")
    for tab, (code, language) in zip(st.tabs(list(tabs)), tabs.values(), strict=True):
        with tab:
            st.code(code, language=language)
