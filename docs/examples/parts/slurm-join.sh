#!/bin/bash
#SBATCH --job-name=conformance-join
#SBATCH --time=00:05:00

# The report of all parts. The exit status is that of the whole run.
set -eu
python -m conformance join parts/*.json --html report.html --json report.json --markdown report.md --junit report.xml
