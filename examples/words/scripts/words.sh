# words.sh TEXT WORDS: the words of a text, one a line, in lower case.  A word is letters, with an apostrophe inside or none.
set -eu
export LC_ALL=C
mkdir -p "$(dirname "$2")"
exec < "$1" > "$2"
tr 'A-Z' 'a-z' | tr -cs "a-z'" '\n' | sed "s/^'*//; s/'*\$//; /^\$/d"
