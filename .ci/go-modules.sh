# Sourced by the scripts that fetch tools: a module of Go's proxy that is held against a sum written down here.

# fetch_module FOLDER MODULE VERSION SUM: downloads a module; `answer` is then what go says of it.
fetch_module() {
    if ! answer=$(cd "$1" && go mod download -json "$2@$3"); then
        printf '%s\n' "$answer"
        return 1
    fi
    if ! printf '%s\n' "$answer" | grep -qF "\"Sum\": \"$4\""; then
        echo "$2@$3 has another sum than $4; it is not used"
        return 1
    fi
}
