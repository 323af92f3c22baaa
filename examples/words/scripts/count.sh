# count.sh WORDS COUNTS: how often each word stands in a list of words, as "word<tab>count", by word.
set -eu
export LC_ALL=C
mkdir -p "$(dirname "$2")"
exec < "$1" > "$2"
sort | uniq -c | awk '{ print $2 "\t" $1 }'
