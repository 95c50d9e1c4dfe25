"""Training curves of a run, as CSV and SVG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.files import write_atomic

CSV = "curves.csv"
SVG = "curves.svg"
WIDTH, HEIGHT, MARGIN = 640, 360, 48
COLOURS = {"train_loss": "#1f6feb", "val_loss": "#d1570a"}


@dataclass(frozen=True, slots=True)
class EpochRecord:
    """Losses and duration of one epoch."""

    epoch: int
    train_loss: float
    val_loss: float
    duration_s: float

    def as_dict(self) -> dict[str, float]:
        """Return the record as plain data."""
        return asdict(self)


def write_curves(folder: Path, records: Sequence[EpochRecord]) -> None:
    """Write ``curves.csv`` and ``curves.svg`` into `folder`."""
    lines = ["epoch,train_loss,val_loss,duration_s"]
    lines += [f"{r.epoch},{r.train_loss:.9g},{r.val_loss:.9g},{r.duration_s:.3f}" for r in records]
    write_atomic(folder / CSV, ("\n".join(lines) + "\n").encode())
    write_atomic(folder / SVG, curves_svg(records).encode())


def curves_svg(records: Sequence[EpochRecord]) -> str:
    """Draw both losses over the epochs, with the best epoch on val marked."""
    losses = [loss for r in records for loss in (r.train_loss, r.val_loss)]
    low, high = min(losses), max(losses)
    last = max(r.epoch for r in records)

    def at(epoch: int, loss: float) -> tuple[float, float]:
        x = MARGIN + (WIDTH - 2 * MARGIN) * (epoch - 1) / max(last - 1, 1)
        y = MARGIN + (HEIGHT - 2 * MARGIN) * (high - loss) / ((high - low) or 1.0)
        return round(x, 1), round(y, 1)

    best = min(records, key=lambda r: r.val_loss)
    x, y = at(best.epoch, best.val_loss)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'font-family="sans-serif" font-size="12">',
        f"<title>Loss over {last} epochs; best val loss {best.val_loss:.4g} at epoch {best.epoch}</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        f'<text x="{MARGIN}" y="{HEIGHT - 16}">epoch 1 to {last}</text>',
        f'<text x="8" y="{MARGIN + 4}">{high:.3g}</text>',
        f'<text x="8" y="{HEIGHT - MARGIN + 4}">{low:.3g}</text>',
    ]
    for row, (name, colour) in enumerate(COLOURS.items()):
        points = " ".join("{},{}".format(*at(r.epoch, getattr(r, name))) for r in records)
        label = name.replace("_", " ")
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts.append(f'<text x="{WIDTH - 120}" y="{20 + 16 * row}" fill="{colour}">{label}</text>')
    parts.append(f'<circle cx="{x}" cy="{y}" r="4" fill="{COLOURS["val_loss"]}"/>')
    return "\n".join([*parts, "</svg>"]) + "\n"
