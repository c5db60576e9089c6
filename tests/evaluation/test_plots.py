"""Charts as SVG files: where curves are, what a reader without eyes is told, and that names cannot break out."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from edgevision.errors import EdgeVisionError
from edgevision.evaluation.plots import Curve, Panel, plot, training_curves, write_chart, write_picture

SVG = "{http://www.w3.org/2000/svg}"


def elements(svg, tag):
    return list(ElementTree.fromstring(svg).iter(SVG + tag))


def points(path):
    return [tuple(map(float, pair.split())) for pair in re.split("[ML]", path.get("d")) if pair.strip()]


def test_a_curve_goes_where_its_figures_are():
    panel = Panel("t", [Curve("a", [0, 0.5, 1], [0.0, np.nan, 1.0])], "x", x_range=(0, 1), y_range=(0, 1))
    svg = plot("all", [panel])
    (path,) = elements(svg, "path")
    (left, bottom), (right, top) = points(path)
    lines = [[float(line.get(k)) for k in ("x1", "y1", "x2", "y2")] for line in elements(svg, "line")]
    assert left == min(x for x, *_ in lines) and right == max(x for _, _, x, _ in lines)
    assert bottom == max(y for _, y, *_ in lines) and top == min(y for _, y, *_ in lines)


def test_a_single_point_is_a_dot_and_no_values_draw_nothing():
    svg = plot("all", [Panel("t", [Curve("a", [3], [0.5]), Curve("b", [3], [np.nan])], "x")])
    assert len(elements(svg, "circle")) == 1
    assert plot("all", [Panel("t", [Curve("a", [], [])], "x")]).startswith("<svg xmlns")


def test_names_of_classes_are_text_and_nothing_else():
    name = '</text><script>alert(1)</script>&"'
    svg = plot(name, [Panel(name, [Curve(name, [0, 1], [0, 1]), Curve("b", [0, 1], [1, 0])], name, name)])
    assert not elements(svg, "script")
    assert name in {t.text for t in elements(svg, "text")}


def test_a_run_has_a_panel_for_accuracy_and_each_loss():
    log = [{"epoch": k, "box": 1 / (k + 1), "class": 2 / (k + 1), "dense": 0.1} for k in range(4)]
    log[3] |= {"ap50": 0.4, "ap50_by_class": {"a": 0.5}}
    svg = training_curves(log, ["a", "b"])
    names = [t.text for t in elements(svg, "text") if t.get("class") == "name"]
    assert names == [
        "AP50 on the validation set, best 0.400", "Box loss", "Class loss", "Loss against the dense teacher",
    ]  # fmt: skip
    assert [t.text for t in elements(svg, "text") if t.get("class") == "label"] == ["mean", "a", "b"]
    assert "best nan" in training_curves(log[:1], ["a"])


def test_a_chart_or_image_is_written_whole_or_not_at_all(tmp_path):
    write_chart(tmp_path / "a.svg", "<svg/>")
    assert [p.name for p in tmp_path.iterdir()] == ["a.svg"]
    with pytest.raises(EdgeVisionError, match=r"a.svg/b.svg: cannot be written"):
        write_chart(tmp_path / "a.svg" / "b.svg", "<svg/>")
    with pytest.raises(EdgeVisionError, match=r"a.svg/b.png: cannot be written"):
        write_picture(tmp_path / "a.svg" / "b.png", np.zeros((4, 4, 3), np.uint8))
