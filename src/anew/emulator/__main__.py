"""``python -m anew.emulator``: serve local Azure."""

import argparse
from pathlib import Path

from anew.emulator.app import serve


def main() -> None:
    """Read the options and serve until interrupted."""
    parser = argparse.ArgumentParser(prog="python -m anew.emulator", description="Serve local Azure.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8090, help="port to listen on (default: %(default)s)")
    parser.add_argument("--folder", type=Path, default=Path("local-azure"), help="where its state is kept")
    options = parser.parse_args()
    serve(options.host, options.port, options.folder)


if __name__ == "__main__":
    main()
