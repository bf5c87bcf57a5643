# A stand-in for uci: `uci [-q] set|add|add_list|delete|get|show|commit ARGUMENT` on a state file with lines
# `S <key> <type>`, `O <key> <value>`, `L <key> <value>`, separated by tabs. A section must exist before its options.
BEGIN {
	FS = "\t"
	state = ENVIRON["UCI_STATE"]
	while ((getline line < state) > 0) rows[++count] = line
	close(state)
	at = 1
	if (ARGV[at] == "-q") at++
	command = ARGV[at]
	argument = ARGV[at + 1]
	key = argument
	value = ""
	if (command == "set" || command == "add_list") {
		cut = index(argument, "=")
		key = substr(argument, 1, cut - 1)
		value = substr(argument, cut + 1)
	}
	key = resolve(key)
	if (key == "") exit 1
	if (command == "set") set()
	else if (command == "add_list") { if (!has("S", parent(key))) exit 1; append("L\t" key "\t" value) }
	else if (command == "add") { append("S\t" argument ".cfg" (count + 1) "\t" ARGV[at + 2]); print "cfg" count }
	else if (command == "delete") remove_key()
	else if (command == "get") get()
	else if (command == "show") show()
	else if (command == "commit") exit 0
	else exit 2
	for (i = 1; i <= count; i++) print rows[i] > state
	if (count == 0) printf "" > state
	close(state)
}
function parent(key) { sub(/\.[^.]*$/, "", key); return key }
function has(kind, key,   i, part) {
	for (i = 1; i <= count; i++) { split(rows[i], part, "\t"); if (part[1] == kind && part[2] == key) return i }
	return 0
}
function append(row) { rows[++count] = row }
function depth(key) { return gsub(/\./, ".", key) }
function resolve(key,   type, nth, i, part, seen, rest, config) {
	if (key !~ /\.@/) return key
	config = substr(key, 1, index(key, ".@") - 1)
	type = key; sub(/^.*\.@/, "", type); rest = type; sub(/\[.*$/, "", type)
	nth = rest; sub(/^[^\[]*\[/, "", nth); rest = nth; sub(/\].*$/, "", nth); sub(/^[^\]]*\]/, "", rest)
	for (i = 1; i <= count; i++) {
		split(rows[i], part, "\t")
		if (part[1] == "S" && part[3] == type && index(part[2], config ".") == 1 && seen++ == nth) return part[2] rest
	}
	return ""
}
function drop(from,   i) { for (i = from; i < count; i++) rows[i] = rows[i + 1]; count-- }
function set(   i) {
	if (depth(key) == 1) {
		i = has("S", key)
		if (i) rows[i] = "S\t" key "\t" value; else append("S\t" key "\t" value)
		return
	}
	if (!has("S", parent(key))) exit 1
	while ((i = has("L", key))) drop(i)
	i = has("O", key)
	if (value == "") { if (i) drop(i) }
	else if (i) rows[i] = "O\t" key "\t" value
	else append("O\t" key "\t" value)
}
function remove_key(   i, part, found) {
	for (i = 1; i <= count; i++) {
		split(rows[i], part, "\t")
		if (part[2] == key || index(part[2], key ".") == 1) { drop(i); i--; found = 1 }
	}
	if (!found) exit 1
}
function get(   i, part, text) {
	for (i = 1; i <= count; i++) {
		split(rows[i], part, "\t")
		if (part[2] == key) text = text (text == "" ? "" : " ") part[3]
	}
	if (text == "") exit 1
	print text
	exit 0
}
function show(   i, part, found) {
	for (i = 1; i <= count; i++) {
		split(rows[i], part, "\t")
		if (index(part[2], key ".") == 1) { found = 1; print part[2] "=" (part[1] == "S" ? part[3] : "'" part[3] "'") }
	}
	exit !found
}
