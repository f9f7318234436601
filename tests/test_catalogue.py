"""What is known of the pictures, in memory."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from image_search.catalogue import TableCatalogue
from image_search.errors import ArtifactError

IDS = ["b/2.jpg", "a.jpg", "ü", "b/10.jpg", "🦊", "Z", "\ufb01"]


def write(folder: Path, columns: dict[str, list[object]], **how: int) -> tuple[Path, Path]:
    metadata, sizes = folder / "metadata.parquet", folder / "sizes.parquet"
    count = len(columns["id"])
    pq.write_table(pa.table(columns), metadata, **how)
    pq.write_table(pa.table({"width": range(1, count + 1), "height": [1] * count}), sizes)
    return metadata, sizes


def test_every_id_has_its_row_whatever_the_order(tmp_path: Path) -> None:
    catalogue = TableCatalogue.read(*write(tmp_path, {"id": list(IDS)}, row_group_size=2))
    assert catalogue.ids() == IDS
    assert [known.id for known in catalogue.known(range(len(catalogue)))] == IDS
    assert catalogue.rows([*IDS, "zzz"]) == {id: row for row, id in enumerate(IDS)}
    assert [catalogue.row(id) for id in IDS] == list(range(len(IDS)))


@pytest.mark.parametrize("id", ["", "A", "a", "a.jpg ", "b/1", "zzz", "\U0010ffff", "u\u0308"])
def test_an_id_that_is_not_there_has_no_row(tmp_path: Path, id: str) -> None:
    assert TableCatalogue.read(*write(tmp_path, {"id": list(IDS)})).row(id) is None


def test_columns_whose_names_look_nested_are_told_apart(tmp_path: Path) -> None:
    columns: dict[str, list[object]] = {
        "id": ["x", "y"],
        "a": [1, 2],
        "a.b": ["one", None],
        "tags": [["p", "q"], []],
    }
    catalogue = TableCatalogue.read(*write(tmp_path, columns))
    assert [known.metadata for known in catalogue.known([1, 0])] == [
        {"a": 2, "a.b": None, "tags": []},
        {"a": 1, "a.b": "one", "tags": ["p", "q"]},
    ]
    assert (catalogue.known([1])[0].width, catalogue.known([1])[0].height) == (2, 1)


def test_fewer_sizes_than_pictures_are_damage(tmp_path: Path) -> None:
    metadata, sizes = write(tmp_path, {"id": list(IDS)})
    pq.write_table(pq.read_table(sizes).slice(1), sizes)
    with pytest.raises(ArtifactError, match="not every one of 7 pictures has a size"):
        TableCatalogue.read(metadata, sizes)
