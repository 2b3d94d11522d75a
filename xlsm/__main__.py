"""``python -m xlsm`` is ``xlsm``."""

from xlsm.cli import app

if __name__ == "__main__":  # worker processes that are spawned import this file, too
    app()
