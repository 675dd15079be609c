"""`python -m cbm` is `cbm`."""

from cbm.cli import main

if __name__ == "__main__":
    main()
