# One Markdown table for each text, after a line with the totals.
FILENAME == "totals.json" {
    gsub(/[^0-9,]/, "")
    split($0, total, ",")
    printf "%d words in %d texts, %d of them distinct.\n", total[3], total[2], total[1]
    next
}
BEGIN { FS = "\t" }
$1 != text { text = $1; printf "\n## %s\n\n| word | times | times likelier than elsewhere |\n|---|--:|--:|\n", text }
{ printf "| %s | %d | %.1f |\n", $2, $3, 2 ^ $4 }
