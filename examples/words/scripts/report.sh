# report.sh: particular.tsv and totals.json as a page, report.md.
set -eu
export LC_ALL=C
exec > report.md
echo '# Words that set each text apart'
echo
awk -f scripts/report.awk totals.json particular.tsv
