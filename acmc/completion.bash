# bash completion for acmc
_acmc() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
	if ((COMP_CWORD == 1)); then
		mapfile -t COMPREPLY < <(compgen -W "setup --help --version" -- "$cur")
		return
	fi
	case $prev in
	-c | --config | -f | --file | --certificate | --key | --trust-anchors)
		mapfile -t COMPREPLY < <(compgen -f -- "$cur") ;;
	--format) mapfile -t COMPREPLY < <(compgen -W "csv json" -- "$cur") ;;
	*) mapfile -t COMPREPLY < <(compgen -W "--to --file --format --home-acmc-id --request-id --json --quiet --no-color
		--timeout --config --server --server-certificate --certificate --key --trust-anchors --help" -- "$cur") ;;
	esac
}
complete -F _acmc acmc
