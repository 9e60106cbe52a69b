"""Charts: round ticks that hold the points, lines in the picture, means where there are more points than pixels."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from myna.evaluation.charts import HEIGHT, WIDTH, interval_chart, line_chart, short_number, smoothed

values = st.floats(-1e6, 1e6, allow_nan=False)


@given(st.lists(st.tuples(st.floats(0, 1e9), values), min_size=1, max_size=300))
def test_every_point_lies_in_the_picture_and_the_ticks_in_their_axes(points: list[tuple[float, float]]) -> None:
    chart = line_chart("loss", "tokens", [("line", points), ("dots", points[:3])])
    assert chart is not None
    for line in chart.lines:
        numbers = [float(n) for n in re.findall(r"-?\d+\.\d", line.path)]
        assert all(-0.1 <= n <= WIDTH + 0.1 for n in numbers[::2])
        assert all(-0.1 <= n <= HEIGHT + 0.1 for n in numbers[1::2])
    for tick in (*chart.down, *chart.along):
        assert -1e-6 <= tick.place <= 100 + 1e-6
    assert len({tick.text for tick in chart.down}) == len(chart.down)


def test_ticks_are_round() -> None:
    chart = line_chart("loss", "tokens", [("line", [(0, 2.13), (1_200_000, 8.4)])])
    assert chart is not None
    assert [tick.text for tick in chart.down] == ["2", "4", "6", "8", "10"]
    assert [tick.text for tick in chart.along] == ["0", "500k", "1M"]
    share = line_chart("accuracy", "tokens", [("dots", [(1, 0.61), (2, 0.82)])], percent=True)
    assert share is not None
    assert [tick.text for tick in share.down] == ["60%", "70%", "80%", "90%"]

    whole = line_chart("accuracy", "tokens", [("dots", [(1, 0.02), (2, 0.97)])], percent=True)
    assert whole is not None
    assert [tick.text for tick in whole.down] == ["0%", "25%", "50%", "75%", "100%"]


def test_nothing_to_draw_is_no_chart() -> None:
    assert line_chart("loss", "tokens", [("line", [])]) is None


def test_many_points_become_means_and_keep_their_ends() -> None:
    chart = line_chart("loss", "tokens", [("line", [(float(x), float(x % 2)) for x in range(10_001)])])
    assert chart is not None
    assert chart.lines[0].path.count("L") < 300
    assert chart.lines[0].path.startswith("M0.0 ")


def test_smoothing_keeps_a_level_and_the_number_of_points() -> None:
    flat = smoothed([(float(x), 2.0) for x in range(100)])
    assert [y for _, y in flat] == pytest.approx([2.0] * 100)
    assert smoothed([(0.0, 1.0)]) == [(0.0, 1.0)]
    middle = smoothed([(float(x), float(x == 50)) for x in range(100)])
    assert max(y for _, y in middle) == pytest.approx(1 / 5)


def test_numbers_are_short() -> None:
    assert [short_number(n) for n in (0, 999, 45_000, 1_210_000, 2.5e9)] == ["0", "999", "45k", "1.21M", "2.5G"]


def test_counts_stand_in_equal_ratios_and_intervals_upright() -> None:
    points = [(10, 0.5, (0.25, 0.75)), (100, 0.6, None), (1000, 0.75, (0.7, 1.0))]
    chart = interval_chart("accuracy", "labels", [("line", points), ("dots", points[:1])], percent=True)
    first, second, third = chart.along
    assert second.place - first.place == pytest.approx(third.place - second.place)
    assert [tick.text for tick in chart.along] == ["10", "100", "1,000"]
    kinds = ["line interval", "line", "line dot", "dots interval", "dots", "dots dot"]
    assert [line.kind for line in chart.lines] == kinds
    # The axis goes from 20 to 100 %.
    ends = re.findall(r"M\S+ (\S+?)V([\d.]+)", chart.lines[0].path)
    assert [float(end) for both in ends for end in both] == [HEIGHT * share / 0.8 for share in (0.25, 0.75, 0.0, 0.3)]
    alone = interval_chart("accuracy", "labels", [("line", points[:1])])
    assert alone.along[0].place == pytest.approx(50)
