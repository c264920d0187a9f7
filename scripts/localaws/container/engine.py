"""Text generation on a loaded model, one request at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .errors import RequestError
from .requests import GenerationRequest, Sampling

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Token:
    """One generated token; `text` may be empty while a character is not complete."""

    id: int
    text: str
    log_prob: float


@dataclass(frozen=True)
class Generation:
    """What a request got. `finish_reason` is LMI's: `eos_token`, `length` or `stop_sequence`."""

    text: str
    prompt_text: str
    prompt_tokens: int
    tokens: tuple[Token, ...]
    finish_reason: str


class Engine:
    """A model with its tokenizer. Not thread-safe: callers use one worker thread."""

    def __init__(self, model: Any, tokenizer: Any, device: torch.device, max_model_len: int | None) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self._device = device
        most = getattr(model.config, "max_position_embeddings", None) or 1 << 20
        self._max_model_len = min(most, max_model_len or most)
        eos = model.generation_config.eos_token_id
        eos_ids = set(eos) if isinstance(eos, list) else {eos}
        self._eos_ids = eos_ids | {tokenizer.eos_token_id} - {None}
        self._pad_id = (
            tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
        )

    def warm_up(self) -> None:
        """Warm up with one short answer, so that the first request is not slower."""
        self.generate(GenerationRequest("Hello", None, Sampling(max_new_tokens=2)))

    def generate(
        self,
        request: GenerationRequest,
        on_token: Callable[[Token], None] | None = None,
        cancelled: threading.Event | None = None,
    ) -> Generation:
        """Answer one request; `on_token` sees each token as it comes.

        Raises RequestError if the prompt is empty, too long, or refused by the chat template.
        """
        import torch

        prompt, input_ids = self._encode(request)
        sampling = request.sampling
        prompt_tokens = input_ids.shape[1]
        room = self._max_model_len - prompt_tokens
        if room < 1:
            raise RequestError(
                f"the prompt has {prompt_tokens} tokens; with its answer it may have {self._max_model_len}"
            )
        # Equal requests do equal work: without a seed of their own they are all sampled with the same one, so
        # that latencies can be compared.
        torch.manual_seed(sampling.seed or 0)
        run = _Run(self._tokenizer, self._eos_ids, sampling.stop, on_token, cancelled)
        choice: dict[str, Any] = {"do_sample": sampling.do_sample}
        if sampling.do_sample:
            choice |= {
                "temperature": sampling.temperature,
                "top_p": sampling.top_p,
                "top_k": max(0, sampling.top_k),
            }
        else:
            # Else the checkpoint's own generation_config.json speaks up, and warns.
            choice |= {"temperature": None, "top_p": None, "top_k": None}
        with torch.inference_mode():
            self._model.generate(
                input_ids.to(self._device),
                attention_mask=torch.ones_like(input_ids).to(self._device),
                max_new_tokens=min(sampling.max_new_tokens, room),
                min_new_tokens=min(sampling.min_new_tokens, room) or None,
                repetition_penalty=sampling.repetition_penalty,
                eos_token_id=sorted(self._eos_ids),
                pad_token_id=self._pad_id,
                logits_processor=[run.note_scores],
                stopping_criteria=[run.should_stop],
                streamer=run,
                **choice,
            )
        return Generation(run.text, prompt, prompt_tokens, tuple(run.tokens), run.finish_reason)

    def _encode(self, request: GenerationRequest) -> tuple[str, torch.Tensor]:
        """The prompt as text and as tokens of shape (1, n).

        A plain text goes through the chat template too, where the tokenizer has one. LMI would complete it
        as it is; small instruction models answer nothing to that.
        """
        template = getattr(self._tokenizer, "chat_template", None)
        messages = request.messages
        if messages is None and template:
            messages = [{"role": "user", "content": request.text or ""}]
        if messages is None:
            prompt, special = request.text or "", True
        elif template:
            # The template's own raise_exception: roles it does not know, for example.
            from jinja2 import TemplateError

            try:
                prompt = self._tokenizer.apply_chat_template(
                    messages, tokenize=False, add_generation_prompt=True
                )
            except TemplateError as error:
                raise RequestError(f"the model's chat template refuses these messages: {error}") from error
            special = False
        else:
            prompt = "\n".join(message["content"] for message in messages)
            special = True
        encoded = self._tokenizer(prompt, return_tensors="pt", add_special_tokens=special)
        input_ids: torch.Tensor = encoded["input_ids"]
        if not input_ids.shape[1]:
            raise RequestError("the prompt is empty")
        return (request.text if request.text is not None else prompt), input_ids.long()


class _Run:
    """Follows one generation: a streamer, a stopping criterion and a listener to the scores in one."""

    def __init__(
        self,
        tokenizer: Any,
        eos_ids: set[int],
        stop: tuple[str, ...],
        on_token: Callable[[Token], None] | None,
        cancelled: threading.Event | None,
    ) -> None:
        self.tokens: list[Token] = []
        self.text = ""
        self.finish_reason = "length"
        self._tokenizer = tokenizer
        self._eos_ids = eos_ids
        self._stop = stop
        self._on_token = on_token
        self._cancelled = cancelled
        self._prompt_seen = False
        self._ids: list[int] = []
        self._scores: Any = None

    def note_scores(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Keep the step's scores, shape (1, vocabulary), for the token's log probability."""
        self._scores = scores[0]
        return scores

    def put(self, value: torch.Tensor) -> None:
        """Called by `generate` with the prompt first, then with each token."""
        if not self._prompt_seen:
            self._prompt_seen = True
            return
        token_id = int(value.reshape(-1)[0])
        log_prob = float(self._scores.float().log_softmax(-1)[token_id])
        self._ids.append(token_id)
        if token_id in self._eos_ids:
            self.finish_reason = "eos_token"
        whole = self._tokenizer.decode(self._ids, skip_special_tokens=True)
        # An unfinished character decodes to the replacement sign: hold it back until the next token.
        piece = "" if whole.endswith("\ufffd") else whole[len(self.text) :]
        self.text += piece
        for stop in self._stop:
            if stop in self.text:
                piece = piece[: max(0, len(piece) - (len(self.text) - self.text.index(stop)))]
                self.text = self.text[: self.text.index(stop)]
                self.finish_reason = "stop_sequence"
        token = Token(token_id, piece, log_prob)
        self.tokens.append(token)
        if self._on_token is not None:
            self._on_token(token)

    def end(self) -> None:
        """Called by `generate` when it is done."""

    def should_stop(self, input_ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
        """Stops on a stop sequence, or when nobody waits for the answer any more. Shape (1,)."""
        import torch

        done = self.finish_reason == "stop_sequence" or (
            self._cancelled is not None and self._cancelled.is_set()
        )
        return torch.full((input_ids.shape[0],), done, dtype=torch.bool, device=input_ids.device)
