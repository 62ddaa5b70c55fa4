# bash completion for acmc
_acmc_options() {
	local common="--json --no-color --config --server --server-certificate --certificate --key --trust-anchors --help"
	local change="--to --file --format --home-acmc-id --request-id --dry-run --best-effort --deadline --no-wait --quiet"
	case $1 in
	setup) echo "$change --not-before --not-after --timeout $common" ;;
	update) echo "$change --not-before --not-after --revision --timeout $common" ;;
	remove) echo "$change --revision --timeout $common" ;;
	wait) echo "--timeout --quiet $common" ;;
	requests) echo "--unfinished --refused --partner --since --until --limit --timeout $common" ;;
	users) echo "--at --believed --csv --timeout $common" ;;
	reconcile) echo "--with --repair --yes --quiet --timeout $common" ;;
	receipt) echo "--out --partner --verify --partner-anchors --partner-crls --partner-certificate --timeout $common" ;;
	pending) echo "--from --follow --timeout $common" ;;
	approve | reject) echo "--from --reason --timeout $common" ;;
	show) echo "--from --timeout $common" ;;
	*) echo "--timeout $common" ;;
	esac
}
_acmc() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
	local commands="setup update remove status wait requests users reconcile receipt pending show approve reject"
	if ((COMP_CWORD == 1)); then
		mapfile -t COMPREPLY < <(compgen -W "$commands --help --version" -- "$cur")
		return
	fi
	case $prev in
	-c | --config | -f | --file | --certificate | --key | --trust-anchors | --out | --verify | --partner-anchors | --partner-crls)
		mapfile -t COMPREPLY < <(compgen -f -- "$cur") ;;
	--format) mapfile -t COMPREPLY < <(compgen -W "csv json" -- "$cur") ;;
	*) mapfile -t COMPREPLY < <(compgen -W "$(_acmc_options "${COMP_WORDS[1]}")" -- "$cur") ;;
	esac
}
complete -F _acmc acmc
