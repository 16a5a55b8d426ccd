"""`make method`: an ablation of the strong recipe, on any project."""

from bench.study import Study, compare

COSINE = "--batch-size 16 --schedule cosine"
PLAIN = f"--alpha 0 {COSINE}"
POOLED = f"--model pooled {PLAIN}"
REMIXED = f"{POOLED} --remix"
PAPER = "--model 2apae --width 8 --alpha 0.001 --batch-size 8"

ROWS = {
    "2apae, 10 epochs": f"{PAPER} --epochs 10",
    "2apae, 20 epochs": f"{PAPER} --epochs 20",
    "2apae, local": f"{PAPER} --epochs 10 --time-attention local",
    "2apae, remixed": f"{PAPER} --epochs 10 --remix",
    "2apae, local, remixed": f"{PAPER} --epochs 10 --remix --time-attention local",
    "gap, remixed": "--model gap --width 8 --batch-size 8 --epochs 10 --remix",
    "gmp, remixed": "--model gmp --width 8 --batch-size 8 --epochs 10 --remix",
    "gwrp, remixed": "--model gwrp --width 8 --batch-size 8 --epochs 10 --remix",
    "atrous, remixed": "--model atrous --width 8 --batch-size 8 --epochs 10 --remix",
    "pooled": POOLED,
    "pooled, plateau": "--model pooled --alpha 0 --batch-size 16",
    "pooled, remixed": REMIXED,
    "+ first parts": f"{REMIXED} remix.event_part=first",
    "+ own speed": f"{REMIXED} remix.speed=[1,1]",
    "+ first parts, own speed": f"{REMIXED} remix.event_part=first remix.speed=[1,1]",
    "+ one SNR": f"{REMIXED} remix.snr_db=null",
    "pooled, remixed, 40 epochs": f"{REMIXED} --epochs 40",
    "+ decoder": f"--model pooled --alpha 0.001 {COSINE} --remix",
    "+ linear pooling": f"{REMIXED} --time-pooling linear",
    "+ attention pooling": f"{REMIXED} --time-pooling attention",
    "+ no dropout": f"{REMIXED} --dropout 0",
    "crnn": f"--model crnn {PLAIN}",
    "crnn, remixed": f"--model crnn {PLAIN} --remix",
    "crnn, linear, remixed": f"--model crnn {PLAIN} --remix --time-pooling linear",
    "ceiling: pooled, remixed, known frames": f"{REMIXED} --supervision strong",
    "ceiling: crnn, remixed, known frames": f"--model crnn {PLAIN} --remix --supervision strong",
}
"""Options of `sedmtl train` and values of data.yaml, by row.

A `+` row changes one thing relative to 'pooled, remixed'.
"""

STUDY = Study("method", ROWS, reference="pooled, remixed")

if __name__ == "__main__":
    compare(STUDY, __doc__)
