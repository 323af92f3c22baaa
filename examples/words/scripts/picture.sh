# picture.sh: particular.tsv as a picture, words.svg.
set -eu
export LC_ALL=C
awk -f scripts/picture.awk particular.tsv > words.svg
