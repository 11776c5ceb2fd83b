"""``python -m tests.docs``: write the tables that come from the code into the README and the help pages."""

from __future__ import annotations

from pathlib import Path

from batchgen.cli.render import pages

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "batchgen" / "help").glob("*.md"))]


def main() -> None:
    """Renew the tables, and print the names of the files that changed."""
    for path in DOCUMENTS:
        text = path.read_text(encoding="utf-8")
        filled = pages.fill(text)
        if filled != text:
            path.write_text(filled, encoding="utf-8")
            print(f"wrote {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
