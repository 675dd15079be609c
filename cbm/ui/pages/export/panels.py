"""The panels of the export page: what goes in, the card as it will read, the finished file, and the script that makes the model again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import streamlit as st

from cbm.core.errors import CbmError, InvalidInputError
from cbm.editing.recipe import Recipe
from cbm.jobs import Job
from cbm.model import export, usage_examples
from cbm.model.bundle_archive import pack
from cbm.model.concept_model import ConceptModel
from cbm.model.export import ABOUT, BuiltExport, PlannedFile
from cbm.reproduction import reproduction
from cbm.ui.access import modes
from cbm.ui.frame import resources, session
from cbm.ui.frame.cards import show_error
from cbm.ui.frame.text import counted
from cbm.ui.widgets import job_panel
from cbm.workspace.workspace import Workspace

IN_MEMORY = 60_000_000
"""Bytes up to which an export is made while the visitor waits, in memory; larger ones are a job that writes to the workspace."""
KIND = "export"
_BUILT = "export_built"


@st.cache_resource(max_entries=3, ttl=1800, show_spinner="Writing, reading back and comparing …")
def built(root: str, model: str, recipe: str, formats: tuple[str, ...], name: str) -> BuiltExport:
    """Kept by ids and the recipe's text, so that the download and the page show one and the same file."""
    study = resources.study(root, model)
    metrics = dict(Workspace(root).get(model, "model").metrics)
    return export.build_export(study.model.with_recipe(Recipe.from_json(recipe)), study.held_out.embeddings, metrics, formats, name)


@st.cache_data(max_entries=64, show_spinner=False)
def script(root: str, model: str, recipe: str, show_paths: bool) -> tuple[str, str, str, tuple[str, ...]] | str:
    """Id, Python, shell lines and what is left to fill in; or why there is none."""
    try:
        made = reproduction(Workspace(root), model, Recipe.from_json(recipe), show_paths=show_paths)
    except CbmError as error:
        return str(error)
    return made.model, made.python, made.shell, made.given


def size_text(count: int) -> str:
    """A size as people say it: "33 MB", "12 KB"."""
    return f"{count / 1e6:,.1f}\u00a0MB" if count >= 1e6 else f"{max(1, round(count / 1e3)):,}\u00a0KB"


def format_choice(model: ConceptModel) -> tuple[str, ...]:
    """Which formats; the bundle always."""
    possible = export.possible_formats(model)
    if possible == ("bundle",):
        st.caption("This dictionary is no JumpReLU one, so neither ONNX nor SAELens can hold it: the bundle alone.")
        return possible
    chosen = st.pills(
        "Formats beside the bundle",
        possible[1:],
        selection_mode="multi",
        default=possible[1:] if _fits(model, possible) else ("onnx",),
        key="export_formats",
        format_func=lambda name: ABOUT[name][0],
    )
    return ("bundle", *(name for name in possible[1:] if name in chosen))


def _fits(model: ConceptModel, formats: Sequence[str]) -> bool:
    return sum(file.size for file in export.planned_files(model, formats)) <= IN_MEMORY


def contents_panel(files: Sequence[PlannedFile], formats: Sequence[str]) -> None:
    """What will be in it, and about how large."""
    for name in formats:
        st.caption(f"**{ABOUT[name][0]}.** {ABOUT[name][1]}")
    lines = ["| File | About | What it holds |", "| :-- | --: | :-- |"]
    lines += [f"| `{file.name}` | {size_text(file.size)} | {file.what} |" for file in files]
    st.markdown("\n".join(lines))
    st.caption(f"About {size_text(sum(file.size for file in files))} altogether. The backbone's own weights are not part of it.")


def card_panel(text: str) -> None:
    """The card as a reader of the exported model will see it."""
    with st.container(border=True, height=640, key="export_card"):
        # One level smaller: on this page the card is a part, not the whole.
        st.markdown("\n".join(f"##{line}" if line.startswith("#") else line for line in _outside_code(text)), anchors=False)


def _outside_code(text: str) -> list[str]:
    """Lines in which a # at the start is a heading: comments in code get a leading blank, which code does not show."""
    lines, inside = [], False
    for line in text.splitlines():
        inside ^= line.startswith("```")
        lines.append(f"\u200b{line}" if inside and line.startswith("#") else line)
    return lines


def download_panel(root: str, model: str, recipe: Recipe, stored: Recipe, formats: tuple[str, ...], files: Sequence[PlannedFile]) -> None:
    """Build the .zip, say whether it computes what the model computes, and hand it out."""
    total = sum(file.size for file in files)
    name = export.export_name(model, recipe, stored)
    if total > IN_MEMORY:
        _large(root, model, recipe, stored, formats, name, total)
        return
    request = (model, export.recipe_digest(recipe), formats)
    if st.session_state.get(_BUILT) != request:
        st.button(
            "Build and check",
            key="export_build",
            type="primary",
            icon=":material/deployed_code:",
            on_click=lambda: st.session_state.update({_BUILT: request}),
            help="Writes the files, reads them back, and compares their predictions with the model's own.",
        )
        return
    done = built(root, model, recipe.to_json(), formats, name)
    _check(done.onnx_difference, done.bundle_difference, done.rows)
    st.download_button(
        f"Download {done.file_name} ({size_text(len(done.data))})",
        done.data,
        done.file_name,
        "application/zip",
        key="export_download",
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


def _large(root: str, model: str, recipe: Recipe, stored: Recipe, formats: tuple[str, ...], name: str, total: int) -> None:
    if not modes.may_write():
        st.info(f"About {size_text(total)} is more than this demo hands out. Choose fewer formats.", icon=":material/info:")
        return
    st.caption("This is large, so it is written to the workspace as a job; the download follows.")
    folder = Path(root) / "exports" / f"{name}-{'-'.join(formats)}"
    st.button(
        "Build and check",
        key="export_build_job",
        type="primary",
        icon=":material/deployed_code:",
        on_click=_submit,
        args=(model, folder, formats, recipe, stored),
    )
    _watched(root, model, folder)


def _watched(root: str, model: str, folder: Path) -> None:
    job = job_panel.latest(root, (KIND,))
    if job is None or job.parameters.get("model") != model or job.parameters.get("folder") != str(folder):
        return
    job = job_panel.watch(job.id, key="export_job")
    if job.state == "done" and folder.is_dir():
        _check((job.result or {}).get("max_abs_difference"), None, 0)
        st.download_button(
            f"Download {folder.name}.zip",
            lambda: pack(folder, folder.name),
            f"{folder.name}.zip",
            "application/zip",
            key="export_download_job",
            icon=":material/download:",
            on_click="ignore",
        )


def _submit(model: str, folder: Path, formats: Sequence[str], recipe: Recipe, stored: Recipe) -> None:
    parameters = {"model": model, "folder": str(folder), "formats": list(formats)}
    if recipe != stored:
        parameters["recipe"] = json.loads(recipe.to_json())
    try:
        job_panel.submit(KIND, parameters, title=f"Export {session.short(model)} to {folder.name}")
    except CbmError as error:
        st.session_state["export_refused"] = str(error)


def folder_panel(root: str, model: str, recipe: Recipe, stored: Recipe, formats: Sequence[str]) -> None:
    """Write to a folder of this machine; only where that is the visitor's own."""
    if not modes.may_use_paths():
        return
    with st.expander("Save to a folder instead", icon=":material/folder:"):
        text = st.text_input(
            "Folder",
            key="export_folder",
            placeholder=f"/home/me/{export.export_name(model, recipe, stored)}",
            icon=":material/folder_open:",
        )
        st.button("Save", key="export_save", disabled=not text, on_click=_save, args=(model, formats, recipe, stored))
        job = job_panel.latest(root, (KIND,))
        if job is not None and text and job.parameters.get("folder") == str(Path(text).expanduser().absolute()):
            _say_saved(job_panel.watch(job.id, key="export_save_job"))


def _say_saved(job: Job) -> None:
    if job.state == "done" and job.result:
        st.caption(f"{counted(len(job.result['files']), 'file')} in `{job.result['bundle']}`")


def _save(model: str, formats: Sequence[str], recipe: Recipe, stored: Recipe) -> None:
    try:
        modes.require_paths()
        text = str(st.session_state["export_folder"]).strip()
        if not text:
            raise InvalidInputError("No folder was named. Type where the export should go.")
        _submit(model, Path(text).expanduser().absolute(), formats, recipe, stored)
    except CbmError as error:
        st.session_state["export_refused"] = str(error)


def refusal() -> None:
    """What a button could not do, said on the run that follows."""
    refused = st.session_state.pop("export_refused", None)
    if refused:
        show_error(refused)


def script_panel(root: str, model: str, recipe: Recipe) -> None:
    """The calls that make this model again, your edits included."""
    st.subheader("Make it again", anchor=False)
    found = script(root, model, recipe.to_json(), modes.may_use_paths())
    if isinstance(found, str):
        st.caption(found)
        return
    made, python, shell, given = found
    text = f"From the images to `{made}`, edits included. The script ends with a check that it made the same request."
    if given:
        text += f" Fill in first: {', '.join(f'`{name}`' for name in given)}."
    st.caption(text)
    for tab, code, language, file in zip(
        st.tabs(["Python", "Shell"]), (python, shell), ("python", "bash"), ("reproduce.py", "reproduce.sh"), strict=True
    ):
        with tab:
            st.code(code, language=language, height=320)
            st.download_button(
                f"Download {file}", code, file, "text/plain", key=f"export_{file}", icon=":material/download:", on_click="ignore"
            )


def example_panel(model: ConceptModel, name: str, formats: Sequence[str]) -> None:
    """How to use what was downloaded."""
    st.subheader("Use it elsewhere", anchor=False)
    tabs = {
        "With CBM Studio": (usage_examples.library_example(), "python"),
        "Command line": (usage_examples.command_line_example(name), "bash"),
    }
    if "onnx" in formats:
        tabs = {"With ONNX": (usage_examples.onnx_example(model), "python")} | tabs
    st.caption("Once downloaded and unpacked.")
    for tab, (code, language) in zip(st.tabs(list(tabs)), tabs.values(), strict=True):
        with tab:
            st.code(code, language=language)
