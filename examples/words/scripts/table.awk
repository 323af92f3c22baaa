# Lines "word<tab>text<tab>count" to lines "word<tab>count<tab>count...", a column for each of names, in no order.
BEGIN { FS = OFS = "\t" }
{ words[$1]; counts[$1, $2] = $3 }
END {
    columns = split(names, text, " ")
    for (word in words) {
        line = word
        for (column = 1; column <= columns; column++) line = line OFS (counts[word, text[column]] + 0)
        print line
    }
}
