"""The gallery in the docs: a picture for each scenario, each of a run that still ends like that."""

from __future__ import annotations

from typing import Any

import pytest

from breakwater.report import gallery, plots

LARGEST = 50_000
"""Bytes: what a committed picture may weigh."""


def test_each_scenario_has_one_picture_and_each_picture_a_scenario() -> None:
    drawn = sorted(path.stem for path in gallery.PICTURES.iterdir())
    assert drawn == gallery.names(), "ape run report --gallery"
    assert {path.suffix for path in gallery.PICTURES.iterdir()} == {".svg"}
    for name in drawn:
        assert gallery.picture(name).stat().st_size < LARGEST, name


def test_the_page_shows_them_all_with_the_command_beside_each() -> None:
    text = gallery.PAGE.read_text()
    assert text == gallery.page(gallery.names()), "ape run report --gallery"
    for name in gallery.names():
        assert text.count(f"](pictures/{name}.svg)") == 1
        assert f"    ape run report --gallery {name}    #" in text


@pytest.mark.parametrize("name", gallery.names())
def test_a_picture_shows_how_the_run_ends(crashed: Any, name: str) -> None:
    assert gallery.words(name) == plots.overview(crashed(name)[1]).alt, "ape run report --gallery"


def test_a_picture_is_the_same_bytes_each_time(crashed: Any, tmp_path: Any) -> None:
    plot = plots.overview(crashed("atom_flash")[1])
    first = plot.file_svg(tmp_path).read_bytes()
    assert plot.file_svg(tmp_path).read_bytes() == first
    assert b"1083.529799" in first


def test_the_series_of_what_acted_ends_with_the_waterfall(crashed: Any) -> None:
    for name in ("atom_flash", "jelly_fenced", "tranche_exhausted", "cascade_200"):
        result = crashed(name)[1]
        for key in ("liquidated", "backstopped", "insurance_paid", "adl_closed"):
            column = result["series"][key]
            assert (column[0], column[-1]) == ("0", result["waterfall"][key]), (name, key)


def test_a_backstop_that_gains_pays_for_nothing(crashed: Any) -> None:
    # It took 400 over at 95 and sold them at 99.8; the other lost all of its 1,000.
    assert crashed("backstop_work_off")[1]["paid"]["backstop"] == "0"
    paid = crashed("tranche_exhausted")[1]["paid"]
    # 100 fall from 100 to 80: 600 of margin, 1,000 of the tranche and 400 of the winner are 2,000.
    assert (paid["margin"], paid["backstop"], paid["winners"]) == ("600", "1000", "400")
