"""Writes the model card from its template and the measured figures, so that no number is typed by hand."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from training.domain import BACKGROUNDS, NOUNS

QUESTIONS = {
    "colour": ("asked colour painted, shapes and recoloured things together", "{:.1%}"),
    "colour_of_shapes": ("asked colour painted, shapes alone", "{:.1%}"),
    "colour_of_recoloured": ("asked colour painted, recoloured things alone", "{:.1%}"),
    "shape": ("asked shape painted", "{:.1%}"),
    "noun": ("asked thing painted", "{:.1%}"),
    "recoloured_both": ("recoloured thing: thing and colour both right", "{:.1%}"),
    "removal": ("mask filled with background alone", "{:.1%}"),
    "removal_psnr_median": ("filled background against the true one, median PSNR", "{:.1f} dB"),
    "shuffled": ("right for another case's prompt (lower is better)", "{:.1%}"),
    "psnr_outside_median": ("outside the mask, before compositing, median PSNR", "{:.1f} dB"),
    "psnr_outside_p5": ("the same, 5th percentile", "{:.1f} dB"),
    "sharpness": ("edges of painted things, as a share of the real sprites'", "{:.2f}"),
    "vae_psnr_mean": ("autoencoder on held-out scenes, mean PSNR", "{:.1f} dB"),
    "vae_psnr_p5": ("the same, 5th percentile", "{:.1f} dB"),
    "seconds_alone": ("one picture by itself, float32, two threads", "{:.2f} s"),
}


def fill(template: str, report: dict, notes: dict[str, str]) -> str:
    """`template` with each `@NAME@` replaced."""
    figures, settings, cases = report["figures"], report["settings"], report["cases"]
    table = [f"| {text} | {form.format(figures[key])} |" for key, (text, form) in QUESTIONS.items()]
    table += [f"| right at {side} pixels, every fourth case | {v:.1%} |" for side, v in report["right_by_size"].items()]
    weakest = sorted(report["per_name"].items(), key=lambda pair: pair[1])[:6]
    values = {
        "NOUNS": ", ".join(NOUNS),
        "DRESSED": ", ".join(name for name, noun in NOUNS.items() if noun.recolours),
        "BACKGROUNDS": ", ".join(BACKGROUNDS),
        "CASES": ", ".join(f"{count} {kind}" for kind, count in cases.items()),
        "JUDGE": f"{report['judge_on_real_scenes']['class']:.1%}",
        "SETTINGS": f"DDIM, {settings['steps']} steps, guidance {settings['guidance']}, {settings['size']} pixels",
        "TABLE": "\n".join(table),
        "WEAK": ", ".join(f"{name} ({share:.0%})" for name, share in weakest),
        **notes,
    }
    for key, value in values.items():
        template = template.replace(f"@{key}@", value)
    return template


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--report", type=Path, default=Path("training/results/evaluation.json"))
    parser.add_argument("--notes", type=Path, default=Path("training/results/notes.json"))
    parser.add_argument("--out", type=Path, default=Path("nbinpaint/models/tiny/README.md"))
    args = parser.parse_args()
    report, notes = (json.loads(path.read_text()) for path in (args.report, args.notes))
    args.out.write_text(fill(Path(__file__).with_name("card.md").read_text(), report, notes))


if __name__ == "__main__":
    main()
