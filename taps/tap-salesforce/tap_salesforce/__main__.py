"""`python -m tap_salesforce` is the same as the console script."""

from tap_salesforce.tap import main

main()
