"""Tables: columns, concepts, paths, encodings, and errors that name the row."""

from __future__ import annotations

from pathlib import Path

import pandas
import pytest
from image_corpus import corpus

from cbm.core.errors import InvalidInputError, NotFoundError
from cbm.images.records import FALSE, TRUE, UNKNOWN, ImageRecord, ImageSource, KnownConcepts, Rejected
from cbm.images.sources import open_source


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a.png", "sub/b.png", "sub/c.png", "grün.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(corpus()["png"])
    return tmp_path


def table(folder: Path, text: str, name: str = "t.csv", encoding: str = "utf-8") -> Path:
    (folder / name).write_bytes(text.encode(encoding))
    return folder / name


def rejections(source: ImageSource) -> dict[str, str]:
    return {data.item: data.reason for _, data in source if isinstance(data, Rejected)}


def test_known_columns_and_concepts_come_through_in_the_tables_order(folder: Path) -> None:
    text = (
        "has fur,path,Label,group,split,striped,weight\n"
        "1,sub/c.png,cat,north,TRAIN,true,3.5\n"
        "0,a.png,7,,validation,FALSE,2\n"
        ",sub/b.png,,,fewshot,,1\n"
    )
    source = open_source(table(folder, text))
    assert source.concept_names == ("has fur", "striped")
    assert list(source.records()) == [
        ImageRecord("sub/c.png", str(folder / "sub/c.png"), "cat", "north", "train", {"has fur": True, "striped": True}),
        ImageRecord("a.png", str(folder / "a.png"), "7", None, "val", {"has fur": False, "striped": False}),
        ImageRecord("sub/b.png", str(folder / "sub/b.png"), None, None, "fewshot", {}),
    ]
    assert [data for _, data in source] == [corpus()["png"]] * 3
    assert any("weight" in note for note in source.notes)
    assert isinstance(source, ImageSource)


def test_parquet_says_the_same_as_csv(folder: Path) -> None:
    frame = pandas.DataFrame(
        {
            "path": ["a.png", "sub/b.png", "sub/c.png"],
            "label": [3.0, None, 1.0],
            "furry": [True, False, None],
            "zero or one": [0, 1, 1],
            "vector": [[1.0], [2.0], [3.0]],
        }
    )
    frame.to_parquet(folder / "t.parquet")
    source = open_source(folder / "t.parquet")
    records = [record for record, _ in source]
    assert [record.label for record in records] == ["3", None, "1"]
    assert [dict(record.concepts) for record in records] == [
        {"furry": True, "zero or one": False},
        {"furry": False, "zero or one": True},
        {"zero or one": True},
    ]
    assert any("vector" in note for note in source.notes)


def test_a_table_named_by_a_roundabout_path_is_the_same_table(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table(folder, "path,old,young\nsub/b.png,-1,1\na.png,1,\n")
    monkeypatch.chdir(folder / "sub")
    source = open_source("../t.csv", confine=True)
    assert not rejections(source)
    assert [dict(getattr(record, "concepts", {})) for record in source.records()] == [{"old": False, "young": True}, {"old": True}]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_delimiters_are_recognised(folder: Path, delimiter: str) -> None:
    text = "path,label\na.png,x\n".replace(",", delimiter)
    assert [record.label for record, _ in open_source(table(folder, text))] == ["x"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252", "latin-1"])
def test_encodings_are_recognised_and_a_guess_is_said_aloud(folder: Path, encoding: str) -> None:
    source = open_source(table(folder, "path,label\r\ngrün.png,schön\r\n", encoding=encoding))
    ((record, data),) = source
    assert (record.item, record.label) == ("grün.png", "schön")
    assert isinstance(data, bytes)
    assert bool(source.notes) == (encoding in ("cp1252", "latin-1"))


FOREIGN = {
    "cp1251": "медведь кошка собака лиса птица берёза река заяц волк чайка утка",
    "koi8_r": "медведь кошка собака лиса птица берёза река заяц волк чайка утка",
    "cp1253": "αρκούδα γάτα σκύλος πουλί δέντρο θάλασσα άλογο ψάρι λύκος",
    "big5": "熊貓 小狗 飛鳥 海鷗 森林 大海 兔子 狐狸 高山",
    "cp949": "곰돌이 고양이 강아지 갈매기 바다 토끼 여우",
}


@pytest.mark.parametrize("encoding", FOREIGN)
def test_tables_of_other_scripts_are_read_in_their_encoding(folder: Path, encoding: str) -> None:
    labels = FOREIGN[encoding].split()
    (folder / f"{labels[0]}.png").write_bytes((folder / "a.png").read_bytes())
    rows = [f"{labels[0]}.png,{labels[0]}", *(f"{label}/{number}.png,{label}" for number, label in enumerate(labels * 5))]
    source = open_source(table(folder, "\n".join(["path,label", *rows]), encoding=encoding))
    records = [record for record in source.records() if isinstance(record, ImageRecord)]
    assert [record.label for record in records] == [labels[0], *labels * 5]
    assert Path(records[0].uri).is_file()
    (note,) = source.notes
    assert "row 2" in note
    assert encoding in note


@pytest.mark.parametrize(
    "words",
    ["Möwe Bär Größe Füße Brücke", "écureuil hérisson mésange forêt crème œuf", "pingüino ñandú águila ratón búho", "björn räv älg måne ö"],
)
@pytest.mark.parametrize("repeats", [1, 40])
def test_west_european_tables_are_never_taken_for_another_script(folder: Path, words: str, repeats: int) -> None:
    labels = words.split() * repeats
    rows = ["a.png,Bär", *(f"{label}/{number}.png,{label}" for number, label in enumerate(labels))]
    source = open_source(table(folder, "\n".join(["path,label", *rows]), encoding="cp1252"))
    assert [record.label for record in source.records() if isinstance(record, ImageRecord)] == ["Bär", *labels]


def test_the_row_number_pandas_writes_is_no_concept(folder: Path) -> None:
    source = open_source(table(folder, ",path\n0,a.png\n1,sub/b.png\n"))
    assert source.concept_names == ()


def test_a_missing_file_names_its_row_and_costs_only_itself(folder: Path) -> None:
    source = open_source(table(folder, "path\na.png\n\nmissing.png\nsub/b.png\n"))
    assert rejections(source) == {"missing.png": "row 4: the file does not exist"}
    assert len(source) == 3


def test_rows_are_counted_as_an_editor_counts_them_despite_line_breaks_in_quotes(folder: Path) -> None:
    source = open_source(table(folder, 'path,label\na.png,"two\nlines"\nmissing.png,x\n'))
    assert rejections(source)["missing.png"].startswith("row 4:")


@pytest.mark.parametrize(
    ("row", "word"),
    [
        ("../outside.png,x", "climbs out"),
        (",x", "empty"),
        ("a.png,x", "row 2 lists the same file"),
        ("a.png,x,y,z", "4 values for 2 columns"),
    ],
)
def test_bad_rows_are_rejected_with_their_number(folder: Path, row: str, word: str) -> None:
    (folder.parent / "outside.png").write_bytes(corpus()["png"])
    source = open_source(table(folder, f"path,label\na.png,x\n{row}\nsub/b.png,y\n"))
    (reason,) = rejections(source).values()
    assert reason.startswith("row 3: ")
    assert word in reason
    assert len([data for _, data in source if isinstance(data, bytes)]) == 2


def test_absolute_paths_are_for_trusted_tables_only(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "x.png"
    elsewhere.write_bytes(corpus()["png"])
    path = table(folder, f"path\na.png\n{elsewhere}\n")
    assert not rejections(open_source(path))
    (reason,) = rejections(open_source(path, confine=True)).values()
    assert "absolute" in reason


def test_links_out_of_the_folder_are_for_trusted_tables_only(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "x.png").write_bytes(corpus()["png"])
    (folder / "link").symlink_to(elsewhere)
    path = table(folder, "path\na.png\nlink/x.png\n")
    assert not rejections(open_source(path))
    assert "link that leaves" in next(iter(rejections(open_source(path, confine=True)).values()))


def test_a_typing_error_in_a_boolean_column_is_an_error_and_no_lost_concept(folder: Path) -> None:
    rows = "".join(f"x{i}.png,{i % 2}\n" for i in range(30))
    with pytest.raises(InvalidInputError, match=r"row 32: 'maybe' in column 'furry'"):
        open_source(table(folder, f"path,furry\n{rows}a.png,maybe\n"))


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "empty"),
        ("name,label\nx,y\n", "no column of paths.*name, label"),
        ("path,label,label\na.png,x,y\n", "'label' twice"),
        ('path,label\na.png,"open\n', "row 2"),
    ],
)
def test_a_malformed_table_is_refused_with_what_to_do(folder: Path, text: str, word: str) -> None:
    with pytest.raises(InvalidInputError, match=word):
        open_source(table(folder, text))


def test_a_table_whose_files_all_are_missing_is_refused_at_once(folder: Path) -> None:
    with pytest.raises(NotFoundError, match="relative to the table's folder"):
        open_source(table(folder, "path\nx.png\ny.png\n"))
    with pytest.raises(NotFoundError, match="lists no pictures"):
        open_source(table(folder, "path,label\n"))


def test_a_damaged_parquet_file_is_refused(folder: Path) -> None:
    pandas.DataFrame({"path": ["a.png"]}).to_parquet(folder / "t.parquet")
    data = (folder / "t.parquet").read_bytes()
    for broken in (data[: len(data) // 2], b"", b"PAR1" + bytes(50) + b"PAR1"):
        (folder / "t.parquet").write_bytes(broken)
        with pytest.raises(InvalidInputError, match="Parquet"):
            open_source(folder / "t.parquet")


def test_known_concepts_behave_like_a_dictionary_without_the_unknown_ones() -> None:
    positions = {"a": 0, "b": 1, "c": 2}
    concepts = KnownConcepts(positions, bytes([TRUE, UNKNOWN, FALSE]))
    assert concepts == {"a": True, "c": False}
    assert (len(concepts), list(concepts), concepts.get("b"), "b" in concepts) == (2, ["a", "c"], None, False)
    assert "'a': True" in repr(concepts)
