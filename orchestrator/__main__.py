"""`python -m orchestrator`."""

from orchestrator.entry.start import main

if __name__ == "__main__":
    main()
