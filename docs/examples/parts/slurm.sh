#!/bin/bash
#SBATCH --job-name=conformance
#SBATCH --array=1-16
#SBATCH --cpus-per-task=2
#SBATCH --mem=8G
#SBATCH --time=01:00:00

# Each task of the array tests one part. Its exit status is that of its part.
set -eu
mkdir -p parts
python -m conformance "$@" --part "$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT" --json "parts/$SLURM_ARRAY_TASK_ID.json"
