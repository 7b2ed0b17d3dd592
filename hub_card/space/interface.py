"""The Gradio interface: one text with its labels and the reasons for them, and whole files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from ...common.errors import UserError
from ...common.inert_text import in_html, one_line
from ...common.tables import names_in_cell
from ...inference import StackedEmotionPredictor, explain
from ...inference.explanations.encoder_weights import encoder_weights
from ...inference.limits import Limits
from ...inference.score_bars import ranked
from . import rendering
from .uploads import MAX_ROWS, read_upload, with_answers

PREVIEW_ROWS = 10
ROWS_A_STEP = 64
_STYLE = Path(__file__).with_name("style.css")
_HOUR = 3600
# The direction of a text follows its first letter; an empty box has the model's direction.
_FOLLOW_DIRECTION = """(text) => {
  const box = document.querySelector("#se-text textarea");
  const first = (text || "").match(/\\p{L}/u);
  if (box) {
    box.dir = !first ? "DIRECTION"
      : /[\\p{Script=Arabic}\\p{Script=Hebrew}\\p{Script=Syriac}\\p{Script=Thaana}]/u
        .test(first[0]) ? "rtl" : "ltr";
  }
}"""


class DemoApp:
    """What the app answers, without its looks.

    Args:
        predictor: the model; in float32, so that a word's contribution is not lost in rounding.
        text_column: the column of texts in the model's data, looked for first in files.

    Attributes:
        limits: how much one text may ask for.
    """

    limits = Limits()

    def __init__(self, predictor: StackedEmotionPredictor, text_column: str | None = None) -> None:
        self.predictor, self.text_column = predictor, text_column
        self.labels = list(predictor.labels)

    def analyze(self, text: str) -> tuple[str, str, str, list[str]]:
        """For one text: bars, colored words, trust, and the labels in the order of the bars.

        Raises:
            UserError: an empty text, or one that is too long.
        """
        text = self._checked(text)
        answer = self.predictor.predict([text])[0]
        decision = self.predictor.decision
        order = [bar.label for bar in ranked(answer.scores, answer.labels, decision)]
        bars = rendering.bars(answer.scores, answer.labels, decision)
        return (bars, *self.explain_label(text, order[0]), order)

    def explain_label(self, text: str, label: str) -> tuple[str, str]:
        """Colored words and trust in the encoders, for a label of a text.

        A model with a single encoder shows no trust.

        Raises:
            UserError: an empty text, or one that is too long.
        """
        text = self._checked(text)
        # More words take too many passes: gradients explain them in one.
        few = len(self.predictor.tokenizer.word_offsets(text)) <= self.limits.explained_words
        explanation = explain(self.predictor, text, label, "occlusion" if few else "gradient")
        weights = self.trust(text, label)
        trust = rendering.trust(weights, label) if len(weights) > 1 else ""
        return rendering.words(explanation), trust

    def trust(self, text: str, label: str) -> dict[str, float]:
        """How much each encoder counts for a label of a text, by name; sums to 1."""
        batch = dict(self.predictor.tokenizer([text], padding=True, return_tensors="pt"))
        weights = encoder_weights(self.predictor.model, [batch])[0, :, self.labels.index(label)]
        return dict(zip(self.predictor.model.config.encoder_names, weights.tolist(), strict=True))

    def answer_file(self, path: str | Path, progress: Any = None) -> tuple[str, str, str]:
        """A preview, and the name and the text of the file with labels and scores.

        Args:
            path: the CSV file.
            progress: called with the share that is done.

        Raises:
            UserError: what is wrong with the file.
        """
        upload = read_upload(path, text_column=self.text_column)
        texts = upload.texts
        filled = [row for row, text in enumerate(texts) if text.strip()]
        labels: list[str | None] = [None] * len(texts)
        scores: list[dict[str, float] | None] = [None] * len(texts)
        for start in range(0, len(filled), ROWS_A_STEP):
            rows = filled[start : start + ROWS_A_STEP]
            if progress is not None:
                progress(start / len(filled), desc="computing")
            for row, answer in zip(
                rows, self.predictor.predict([texts[row] for row in rows]), strict=True
            ):
                labels[row], scores[row] = names_in_cell(answer.labels), answer.scores
        shown = [
            (text, "(no text)" if given is None else given.replace(",", ", ") or "none")
            for text, given in zip(texts[:PREVIEW_ROWS], labels[:PREVIEW_ROWS], strict=True)
        ]
        name = f"{Path(upload.name).stem}_emotions.csv"
        return rendering.preview(shown, len(texts)), name, with_answers(upload, labels, scores)

    def _checked(self, text: str | None) -> str:
        text = text or ""
        if not text.strip():
            raise UserError("There is no text yet. Write one, or choose an example.")
        try:
            self.limits.check([text])
        except ValueError as error:
            raise UserError(str(error)) from None
        return text


def build_interface(
    predictor: StackedEmotionPredictor,
    title: str,
    language: str | None = None,
    examples: Mapping[str, str] | None = None,
    text_column: str | None = None,
    note: str | None = None,
    data: str | None = None,
    figures: Sequence[str] = (),
) -> Any:
    """The app as `gradio.Blocks`; show it with `launch_options()`.

    Args:
        predictor: the model.
        title: the heading, usually the model's name.
        language: ISO 639 code of the texts; it decides where the empty box begins.
        examples: texts to try, by caption.
        text_column: the column of texts in the model's data.
        note: a sentence under the heading, such as that the model is a toy.
        data: what the training texts are and on what terms.
        figures: what was measured, in sentences.
    """
    import gradio as gr

    app = DemoApp(predictor, text_column)
    waiting, hidden = gr.Progress(), gr.update(visible=False)
    direction = rendering.side(language)

    def analyze(text: str) -> tuple[Any, ...]:
        try:
            bars, words, trust, order = app.analyze(text)
        except UserError as error:
            message = gr.update(value=rendering.problem(str(error)), visible=True)
            return message, hidden, hidden, hidden, ""
        choices = gr.update(choices=order, value=order[0], visible=True)
        shown = [gr.update(value=part, visible=bool(part)) for part in (bars, words, trust)]
        return *shown, choices, text

    def explain_again(text: str, label: str) -> tuple[str, str]:
        return app.explain_label(text, label)

    def answer_file(path: str | None, progress: Any = waiting) -> tuple[Any, Any]:
        try:
            if not path:
                raise UserError("There is no file yet. Choose a CSV file first.")
            shown, name, answers = app.answer_file(path, progress)
        except UserError as error:
            return rendering.problem(str(error)), gr.update(visible=False, value=None)
        # in the cache, whose files `delete_cache` removes
        output = gr.processing_utils.save_bytes_to_cache(
            answers.encode("utf-8-sig"), name, download.GRADIO_CACHE
        )
        return shown, gr.update(visible=True, value=output)

    with gr.Blocks(title=title, analytics_enabled=False, delete_cache=(_HOUR, _HOUR)) as interface:
        gr.HTML(_heading(title, note), elem_id="se-title")
        with gr.Tab("One text"):
            text = gr.Textbox(
                label="Text", lines=1, max_lines=8, elem_id="se-text",
                rtl=direction == "rtl",
                placeholder=rendering.placeholder(language),
            )  # fmt: skip
            go = gr.Button("Find the labels", variant="primary", elem_id="se-go")
            bars = gr.HTML(visible=False, elem_id="se-bars")
            label = gr.Dropdown(
                [], label="Explain the label", visible=False, interactive=True, elem_id="se-label"
            )
            words = gr.HTML(visible=False, elem_id="se-words")
            trusted = gr.HTML(visible=False, elem_id="se-trust")
            analyzed = gr.State("")
            outputs = [bars, words, trusted, label, analyzed]
            limits: dict[str, Any] = {"concurrency_limit": 1, "concurrency_id": "model"}
            gr.on([go.click, text.submit], analyze, text, outputs, api_name="analyze", **limits)
            text.change(None, text, None, js=_FOLLOW_DIRECTION.replace("DIRECTION", direction))
            label.input(
                explain_again, [analyzed, label], [words, trusted], api_name=False, **limits
            )
            if examples:
                gr.Examples(
                    [[example] for example in examples.values()], [text], outputs, analyze,
                    run_on_click=True, cache_examples=False, elem_id="se-examples",
                    example_labels=[
                        f"{one_line(name)}: \u2068{one_line(example)}\u2069"
                        for name, example in examples.items()
                    ],
                    label="Examples", api_visibility="private",
                )  # fmt: skip
        with gr.Tab("A CSV file"):
            gr.HTML(
                '<p class="se-note">A CSV file (UTF-8) with a column <code>'
                f"{in_html(text_column or 'text')}</code> and at most {MAX_ROWS} rows. You get it "
                "back with the labels and a score for each.</p>"
            )
            file = gr.File(label="CSV file", elem_id="se-file", height=140)
            send = gr.Button("Compute", variant="primary", elem_id="se-send")
            shown = gr.HTML(elem_id="se-preview")
            download = gr.DownloadButton(
                "Download the answers", visible=False, elem_id="se-download"
            )
            send.click(answer_file, file, [shown, download], api_name="file", **limits)
        gr.HTML(_measured(figures) + _ABOUT + _data_line(data))
    return interface


def launch_options() -> dict[str, Any]:
    """Looks and settings for `Blocks.launch`: the page talks to no other host."""
    import gradio as gr

    fonts = ["system-ui", "Segoe UI", "Noto Sans", "Noto Sans Arabic", "sans-serif"]
    theme = gr.themes.Default(
        primary_hue=gr.themes.colors.sky, font=fonts, font_mono=["ui-monospace", "monospace"]
    )
    return {
        "theme": theme,
        "css": _STYLE.read_text(encoding="utf-8"),
        "footer_links": [],
        "max_file_size": "20mb",
        "ssr_mode": False,
        "share": False,
    }


def load_predictor(model: str, revision: str | None = None) -> StackedEmotionPredictor:
    """The model in torch and float32, so that its words can be explained."""
    return StackedEmotionPredictor.from_pretrained(
        model, dtype=torch.float32, revision=revision, backend="torch"
    )


_ABOUT = (
    '<p class="se-note">The answers are guesses about a text, not about its writer: do not judge '
    "people by them. Irony, dialects and rare labels are often read wrongly. The app computes your "
    "texts and files here and does not keep them; it deletes uploads within two hours.</p>"
)


def _data_line(data: str | None) -> str:
    return f'<p class="se-note">Training texts: {in_html(one_line(data))}</p>' if data else ""


def _measured(figures: Sequence[str]) -> str:
    lines = "".join(f"<li>{in_html(one_line(text))}</li>" for text in figures)
    return f'<h2>How good is it?</h2><ul class="se-note">{lines}</ul>' if lines else ""


def _heading(title: str, note: str | None) -> str:
    warning = f'<p class="se-warning">{in_html(note)}</p>' if note else ""
    return f"<h1>{in_html(one_line(title))}</h1>{warning}"
