"""`python -m bench` and the command `bench`."""

import sys

from bench.extras import missing_extra


def main() -> None:
    """Run the command line, or say which extra installs what it needs."""
    try:
        from bench.cli.main import main as run
    except ModuleNotFoundError as error:
        problem = missing_extra(error, "The command `bench`")
        if problem is error:
            raise
        print(f"error {problem}", file=sys.stderr)
        sys.exit(getattr(problem, "exit_code", 1))
    run()


if __name__ == "__main__":
    main()
