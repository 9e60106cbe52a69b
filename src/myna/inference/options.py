"""What ``generate`` can be asked, by name: from Python, and on the command line."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypedDict

from myna.errors import InputError
from myna.inference.beams import Beams
from myna.inference.choosing import Rules, Sampling
from myna.inference.forms import Form

# Names that people bring from transformers, ours for them, and what differs.
KNOWN_ELSEWHERE: dict[str, tuple[str, str]] = {
    "max_new_tokens": ("tokens", ""),
    "max_length": ("tokens", "the prompt not counted"),
    "max_tokens": ("tokens", ""),
    "min_new_tokens": ("min_tokens", ""),
    "min_length": ("min_tokens", "the prompt not counted"),
    "do_sample": ("temperature", "0 takes the most likely token"),
    "num_beams": ("beams", ""),
    "num_return_sequences": ("samples", ""),
    "no_repeat_ngram_size": ("no_repeat", ""),
    "stop_strings": ("stop", ""),
    "streamer": ("stream", ""),
    "prefix_allowed_tokens_fn": ("form", ""),
}


class Options(TypedDict, total=False):
    """Settings beside the prompt and ``tokens``; all may be left out.

    ``temperature`` (1), ``top_k``, ``top_p``, ``min_p`` and ``seed`` (0) draw:
    :class:`~myna.inference.choosing.Sampling`.
    ``beams`` with ``length_penalty`` (1) and ``early_stopping`` (False) look for the most likely text instead:
    :class:`~myna.inference.beams.Beams`. ``min_tokens``, ``repetition_penalty`` and ``no_repeat`` hold of both:
    :class:`~myna.inference.choosing.Rules`. ``form`` is a :class:`~myna.inference.forms.Form` or its text, as "4x7";
    ``line_ends`` closes its lines in turn (，。); in one text they stand apart by spaces. ``stop`` are texts to end at.
    """

    temperature: float | None
    top_k: int | None
    top_p: float | None
    min_p: float | None
    seed: int
    beams: int | None
    length_penalty: float
    early_stopping: bool | Literal["never"]
    min_tokens: int
    repetition_penalty: float
    no_repeat: int
    form: Form | str | None
    line_ends: Sequence[str] | str | None
    stop: Sequence[str] | str


_DRAWING = ("temperature", "top_k", "top_p", "min_p", "seed")
_SEARCHING = ("length_penalty", "early_stopping")


def described(options: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of :func:`~myna.inference.generate.generate` for options by name.

    Raises :class:`InputError` for a name that is none, and for settings that say two things.
    """
    for name in options:
        if name not in Options.__annotations__:
            raise InputError(f"generate has no setting {name}", remedy=remedy_for(name))
    given = {name: value for name, value in options.items() if value is not None}
    return {
        "choice": _choice(given),
        "rules": Rules(given.get("min_tokens", 0), given.get("repetition_penalty", 1.0), given.get("no_repeat", 0)),
        "form": _form(given.get("form"), given.get("line_ends")),
        "stop": given.get("stop", ()),
    }


def remedy_for(name: str) -> str:
    """What to do about a name that is no setting of ours."""
    ours, note = KNOWN_ELSEWHERE.get(name, ("", ""))
    if ours == "stream":
        return "call stream(prompt) in place of generate(prompt)"
    if ours == "samples" or name == "samples":
        return "call generate_many(prompts, samples = n)"
    if ours:
        return f'use "{ours}"' + (f" ({note})" if note else "")
    close = difflib.get_close_matches(name, Options.__annotations__, 1)
    return f'did you mean "{close[0]}"?' if close else f"there are tokens, {', '.join(Options.__annotations__)}"


def remedy_for_option(option: str) -> str:
    """What to do about an option of the command line that is none of ours."""
    ours, note = KNOWN_ELSEWHERE.get(option.lstrip("-").replace("-", "_"), ("", ""))
    if not ours or ours == "stream":
        return "see myna generate --help"
    return f"use --{ours.replace('_', '-')}" + (f" ({note})" if note else "")


def as_typed(options: Mapping[str, Any]) -> dict[str, Any]:
    r"""Options as they are typed: only those that were given; yes and no are meant, and ``\n`` ends a line."""
    given = {name: value for name, value in options.items() if value is not None}
    stopping = given.get("early_stopping")
    if stopping in ("yes", "no"):
        given["early_stopping"] = stopping == "yes"
    if "line_ends" in given:
        given["line_ends"] = [end.replace("\\n", "\n") for end in given["line_ends"].split()]
    if not given.get("stop"):
        given.pop("stop", None)
    else:
        given["stop"] = [text.replace("\\n", "\n") for text in given["stop"]]
    return given


def _choice(given: Mapping[str, Any]) -> Sampling | Beams:
    drawing, searching = ([name for name in names if name in given] for names in (_DRAWING, _SEARCHING))
    if given.get("beams", 1) == 1:
        if searching:
            raise InputError(f"{searching[0]} is for beams", remedy="give beams too, as 4")
        temperature = given.get("temperature", 0.0 if "beams" in given else 1.0)
        return Sampling(temperature, **{name: given[name] for name in drawing if name != "temperature"})
    if [name for name in drawing if given[name] not in (0, None)]:
        what = f"{drawing[0]} is for what is drawn, and beams draw nothing"
        raise InputError(what, remedy=f"leave {drawing[0]} out, or beams")
    return Beams(given["beams"], **{name: given[name] for name in searching})


def _form(form: Form | str | None, ends: Sequence[str] | str | None) -> Form | None:
    ends = ends.split() if isinstance(ends, str) else ends
    if form is None:
        if ends is not None:
            raise InputError("line_ends is for a form", remedy="give a form too, as 4x7")
        return None
    if isinstance(form, Form):
        return form if ends is None else Form(form.lines, tuple(ends))
    return Form.of(form, ends)
