"""Putting each picture of a sample into one class: how often that is the right one."""

import csv
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from image_search.errors import ConfigError
from image_search.evaluation_report import ClassShare, Confusion, ZeroShot
from image_search.rankings import Ranker, mean_figure
from image_search.taxonomy import Taxonomy

MOST_CONFUSED = 10
"""Pairs of classes that are named."""


def read_labels(path: Path, taxonomy: Taxonomy) -> dict[str, str]:
    """Id → class, out of a table with these two columns. Raises ConfigError."""
    known = {one.name for one in taxonomy.classes}
    labels: dict[str, str] = {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            if not {"id", "class"} <= set(rows.fieldnames or ()):
                raise ConfigError(f"{path} needs the columns id and class in its first line.")
            for row in rows:
                id, name = (row["id"] or "").strip(), (row["class"] or "").strip()
                if name not in known:
                    raise ConfigError(
                        f"{path}, line {rows.line_num}: the taxonomy has no class “{name}”, but "
                        f"{', '.join(sorted(known))}."
                    )
                if labels.setdefault(id, name) != name:
                    raise ConfigError(
                        f"{path}, line {rows.line_num}: “{id}” is “{labels[id]}” above. A picture "
                        "has one class here; leave out those that have several."
                    )
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not in UTF-8. Save it so.") from None
    return labels


def zero_shot(
    ranker: Ranker,
    prompts: Mapping[str, list[str]],
    labels: Mapping[str, str],
    from_labels: bool,
) -> ZeroShot | None:
    """Each picture goes to the class to whose prompts, taken together, it is nearest.

    None if there are no such pictures. Those that judges saw were found by the prompts, so they
    are no sample by chance: the figure is of these pictures only.
    """
    ids = [id for id in labels if id in ranker.found]
    if not ids:
        return None
    classes = list(prompts)
    towards = np.stack([ranker.together(prompts[name]) for name in classes])
    nearest = np.argmax(ranker.vectors(ids) @ towards.T, axis=1)
    taken = [classes[number] for number in nearest]
    shown = [labels[id] for id in ids]
    right = [a == b for a, b in zip(taken, shown, strict=True)]
    each = Counter(shown)
    of_class = Counter(name for name, is_right in zip(shown, right, strict=True) if is_right)
    wrong = Counter((s, t) for s, t in zip(shown, taken, strict=True) if s != t)
    return ZeroShot(
        source="labels" if from_labels else "judgements",
        pictures=len(ids),
        accuracy=mean_figure([float(one) for one in right]),
        mean_of_classes=mean_figure(
            [of_class[name] / each[name] for name in classes if each[name]]
        ),
        always_the_same=max(each.values()) / len(ids),
        classes=[
            ClassShare(name=name, pictures=each[name], right=of_class[name]) for name in classes
        ],
        confused=[
            Confusion(shown=s, taken_for=t, pictures=count)
            for (s, t), count in wrong.most_common(MOST_CONFUSED)
        ],
    )
