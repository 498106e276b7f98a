"""`python -m anew`, and the `anew` command: three exits, and the difference is a class."""

import sys
import traceback


def main() -> None:
    """Run the command line. Exits 0, 1 (could not), 2 (bad input), 3 (a bug in anew) or 130 (interrupted)."""
    from anew.cli import app
    from anew.cli.output import complain
    from anew.errors import AnewError, InvalidPolicy, InvalidRequest, InvalidSettings, InvalidStream, MalformedBody

    try:
        code = app()
    except (InvalidPolicy, InvalidRequest, InvalidSettings, InvalidStream, MalformedBody) as error:
        complain(error)
        sys.exit(2)
    except AnewError as error:
        complain(error)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(1)
    except Exception:  # noqa: BLE001 - where what nobody expected ends: shown whole, with an exit code of its own
        traceback.print_exc()
        sys.stderr.write("This is a bug in anew; please report it with the lines above.\n")
        sys.exit(3)
    sys.exit(code if isinstance(code, int) else 0)


if __name__ == "__main__":
    main()
