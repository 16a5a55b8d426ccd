"""`features.encoder` in `data.yaml`: a frozen encoder in a file of the user's."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from sedmtl.config.section import AnyPath, Section, wrong

MAX_WINDOW_S = 3_600.0


class EncoderLogMel(Section):
    """The log-mel that an encoder takes in place of a waveform: every project has its own.

    Attributes:
        window: Samples of a window, at the encoder's sample rate.
        hop: Samples from one window to the next.
        n_fft: Samples of the FFT, whose window is padded; by default those of the window.
        n_mels: Mel bins.
        f_min: Lower edge of the filters in Hz; `f_max` is the upper one.
        mel_scale: Slaney's, which librosa takes, or HTK's.
        norm: `slaney`: filters of unit area. `none`: of height 1.
        taper: The window's form; periodic.
        power: Of the magnitude: 1, or 2 for the power.
        log: `natural`, `log10`, or `db`: ten times `log10`, of magnitudes twenty times.
        floor: Added before the logarithm.
        centred: Whether frame k is around sample k * hop; the audio's ends are mirrored.
        mean: Subtracted from the logarithm, which is then divided by `std`.
    """

    window: int = Field(ge=16, le=1 << 20)
    hop: int = Field(ge=1)
    n_fft: int | None = Field(default=None, ge=16, le=1 << 20)
    n_mels: int = Field(ge=2, le=4_096)
    f_min: float = Field(default=0.0, ge=0)
    f_max: float = Field(gt=0)
    mel_scale: Literal["slaney", "htk"] = "slaney"
    norm: Literal["slaney", "none"] = "slaney"
    taper: Literal["hann", "hamming"] = "hann"
    power: Literal[1, 2] = 2
    log: Literal["natural", "log10", "db"] = "natural"
    floor: float = Field(default=1e-10, gt=0)
    centred: bool = True
    mean: float = 0.0
    std: float = Field(default=1.0, gt=0)

    @model_validator(mode="after")
    def _fit_the_fft(self) -> Self:
        if self.n_fft is not None and self.n_fft < self.window:
            raise wrong(f"n_fft should be at least window, {self.window}, found {self.n_fft}")
        if self.f_min >= self.f_max:
            raise wrong(f"f_min should be below f_max, found {self.f_min:g} and {self.f_max:g}")
        return self


class EncoderFile(Section):
    """A frozen encoder. What is None is read from the file, or asked for if it does not say.

    Attributes:
        onnx: The file, if it is of ONNX.
        tflite: The file, if it is of TensorFlow Lite.
        sample_rate: That it takes, in Hz.
        window_s: Seconds of audio that go into it at once.
        hop_s: Seconds from one of these windows to the next; by default they touch. The middle
            of each is kept: one vector stands for `hop_s` seconds around the window's centre.
        input: What goes into it.
        logmel: Settings of the log-mel, for an `input` that is one.
        output: Name of the output, or of an inner tensor, that holds the vectors.
        axes: Order of the output's axes, frames over time (T) and dimensions (D).
        dtype: Type of the stored vectors.
        licence: What may be done with the file and what is made of it, for people.
    """

    onnx: AnyPath | None = None
    tflite: AnyPath | None = None
    sample_rate: int | None = Field(default=None, ge=1_000, le=384_000)
    window_s: float | None = Field(default=None, gt=0, le=MAX_WINDOW_S)
    hop_s: float | None = Field(default=None, gt=0, le=MAX_WINDOW_S)
    input: Literal["waveform", "logmel"] | None = None
    logmel: EncoderLogMel | None = None
    output: str | None = None
    axes: Literal["TD", "DT"] | None = None
    dtype: Literal["float16", "float32"] = "float16"
    licence: str = Field(default="", max_length=2_000)

    @model_validator(mode="after")
    def _name_one_file(self) -> Self:
        if (self.onnx is None) == (self.tflite is None):
            raise wrong("should name one file, with onnx or with tflite")
        if self.input == "logmel" and self.logmel is None:
            raise wrong("input: logmel needs its settings, logmel: {window, hop, n_mels, f_max, …}")
        if self.logmel is not None and self.input != "logmel":
            raise wrong("logmel: is for input: logmel")
        if self.hop_s is not None and self.window_s is not None and self.hop_s > self.window_s:
            raise wrong(
                f"hop_s should be at most window_s, {self.window_s:g}, found {self.hop_s:g}"
            )
        return self

    @property
    def runtime(self) -> Literal["onnx", "tflite"]:
        """Which program runs the file."""
        return "tflite" if self.onnx is None else "onnx"

    @property
    def path(self) -> Path:
        """The file, as it is written in `data.yaml`."""
        path = self.tflite if self.onnx is None else self.onnx
        assert path is not None
        return path

    @property
    def deciding(self) -> dict[str, Any]:
        """What decides the vectors, beside the content of the file: plain values."""
        return self.model_dump(mode="json", exclude={"onnx", "tflite", "licence"})
