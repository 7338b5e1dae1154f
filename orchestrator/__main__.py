"""`python -m orchestrator`."""

from orchestrator.entry.main import main

if __name__ == "__main__":
    main()
