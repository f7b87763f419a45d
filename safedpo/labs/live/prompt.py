"""The reader's own prompt: two sliders set a blend's weights in milliseconds, a button lets the policy answer."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from safedpo.errors import UserError, visible
from safedpo.show import style, tokens

if TYPE_CHECKING:  # the names that need transformers are imported where they are used
    from safedpo.lm.blending.blend import Blend
    from safedpo.lm.models.load import LoadedModel

MOST_TOKENS = 256  # of a prompt; more is a mistake of pasting
STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0)


class LivePrompt:
    """Δ (also between the trained ones), strength, a prompt and a button; display `live.widget`.

    `loaded` is the reference that `blend` stands on. `deltas` are the stops of the first slider: a trained one is
    its adapter, any other a blend, and the line under the sliders says which. A prompt that is empty or longer than 256
    tokens is refused there, without an exception. Moving a slider only sets weights; nothing is trained.
    """

    def __init__(self, loaded: "LoadedModel", blend: "Blend", deltas: Sequence[float], *, max_new_tokens: int = 64):
        import ipywidgets

        self.policy, self.blend, self.max_new_tokens = replace(loaded, model=blend.model), blend, max_new_tokens
        wide = {"layout": {"width": "min(100%, 700px)"}, "style": {"description_width": "initial"}}
        self.delta, self.strength = (
            ipywidgets.SelectionSlider(options=[(f"{v:g}", v) for v in values], value=start, description=label, **wide)
            for values, start, label in ((deltas, deltas[-1], "safety margin Δ"), (STRENGTHS, 1.0, "strength"))
        )
        self.prompt = ipywidgets.Textarea(placeholder="your own request", description="prompt", rows=2, **wide)
        self.button = ipywidgets.Button(description="Answer", button_style="primary")
        self.bar = ipywidgets.IntProgress(max=max_new_tokens, description="tokens")
        self.label, self.said = ipywidgets.HTML(), ipywidgets.HTML()
        for slider in (self.delta, self.strength):
            slider.observe(lambda _: self.move(), names="value")
        self.button.on_click(lambda _: self.answer())
        self.widget = ipywidgets.VBox(
            [self.delta, self.strength, self.label, self.prompt, ipywidgets.HBox([self.button, self.bar]), self.said]
        )
        self.move()

    def move(self) -> None:
        """Set the blend to where the sliders stand, and say what that is."""
        delta, x = self.delta.value, self.strength.value
        if delta in self.blend.deltas:
            label = self.blend.strength(x, delta).label
        else:
            setting = self.blend.at(delta)
            self.blend.set({stop: x * weight for stop, weight in setting.weights.items()})
            label = setting.label + (f"; all of it at strength {x:g}" if x != 1 else "")
        self.label.value = f'<p role="status">{style.escape(label)}</p>'

    def answer(self) -> None:
        """Answer the prompt greedily, with the tokens' log-ratios against the reference."""
        from safedpo.evaluate.generation import Decoding, generate
        from safedpo.lm.rows.tokens import prompt_token_ids

        prompt, tokenizer = self.prompt.value.strip(), self.policy.tokenizer
        try:
            length = len(prompt_token_ids(tokenizer, prompt, self.blend.template))
        except UserError as error:  # it spells a special token, say
            self.said.value = f'<p role="alert">{style.escape(visible(str(error)))}</p>'
            return
        if not prompt or length > MOST_TOKENS:
            what = f"the prompt has {length} tokens; shorten it to {MOST_TOKENS}" if prompt else "write a request first"
            self.said.value = f'<p role="alert">{what}</p>'
            return
        self.button.disabled, self.bar.value = True, 0
        ticking = self.policy.model.register_forward_hook(lambda *_: setattr(self.bar, "value", self.bar.value + 1))
        try:
            decoding = Decoding(samples=0, greedy=True, max_new_tokens=self.max_new_tokens)
            (answer,) = generate(
                self.policy.model, tokenizer, [prompt], decoding, template=self.blend.template, progress=False
            )
        finally:
            ticking.remove()
            self.button.disabled, self.bar.value = False, self.max_new_tokens
        self.said.value = self._shown(prompt, answer.greedy or "")

    def _shown(self, prompt: str, response: str) -> str:
        from safedpo.evaluate.sweep.points import in_float32, log_ratios

        text = f'<p class="{style.NO_MATHS}" style="white-space:pre-wrap">{style.escape(visible(response))}</p>'
        try:
            with in_float32(self.policy.model):
                pieces, ratios = log_ratios(
                    self.policy, prompt, response, self.max_new_tokens, template=self.blend.template
                )
        except UserError:  # the model continued the prompt's own last word
            pieces = []
        return text + (tokens(pieces, ratios, beta=self.blend.beta or 0.1).html if pieces else "")
