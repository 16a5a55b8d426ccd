"""`features.encoder` in `data.yaml`: a frozen encoder in a file of the user."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from sedmtl.config.section import AnyPath, Section, wrong

MAX_WINDOW_S = 3_600.0


class EncoderLogMel(Section):
    """The log-mel that an encoder takes instead of a waveform; every encoder has its own.

    Attributes:
        window: Samples of a window, at the encoder's sample rate.
        hop: Samples from one window to the next.
        n_fft: FFT size, to which the window is padded; by default the window's size.
        n_mels: Mel bins.
        f_min: Lower edge of the filters in Hz; `f_max` is the upper edge.
        mel_scale: Slaney's scale, librosa's default, or HTK's.
        norm: `slaney` for filters of unit area, `none` for filters of height 1.
        taper: Window function, periodic.
        power: Exponent of the magnitude: 1, or 2 for power.
        log: `natural`, `log10`, or `db`: 10 log10 of power, 20 log10 of magnitude.
        floor: Added before the logarithm.
        centred: Whether frame k is centred on sample k * hop; the ends are padded by reflection.
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
    """A frozen encoder. Settings left at None are read from the file; missing ones are an error.

    Attributes:
        onnx: The file, if it is an ONNX model.
        tflite: The file, if it is a TensorFlow Lite model.
        sample_rate: Sample rate of the input, in Hz.
        window_s: Length of an input window, in seconds.
        hop_s: Seconds from one window to the next; by default windows are adjacent. Only the
            middle of each is kept: `hop_s` seconds around the window's centre.
        input: Kind of input.
        logmel: Settings of the log-mel, for `input: logmel`.
        output: Name of the output, or of an intermediate tensor, that holds the vectors.
        axes: Order of the output's axes, frames over time (T) and dimensions (D).
        dtype: Type of the stored vectors.
        licence: Licence of the file and of what is made with it, as information for readers.
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
        """The runtime of the file."""
        return "tflite" if self.onnx is None else "onnx"

    @property
    def path(self) -> Path:
        """The file, as written in `data.yaml`."""
        path = self.tflite if self.onnx is None else self.onnx
        assert path is not None
        return path

    @property
    def deciding(self) -> dict[str, Any]:
        """The settings that, with the file's content, determine the vectors, as plain values."""
        return self.model_dump(mode="json", exclude={"onnx", "tflite", "licence"})
