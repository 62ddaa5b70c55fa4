# bash completion for acms
_acms() {
	local cur=${COMP_WORDS[COMP_CWORD]} command=${COMP_WORDS[1]} prev=${COMP_WORDS[COMP_CWORD - 1]}
	if ((COMP_CWORD == 1)); then
		mapfile -t COMPREPLY < <(compgen -W "serve check print health users audit --help --version" -- "$cur")
	elif [[ $prev == -c || $prev == --config || $prev == import || $prev == verify || $prev == rotate ]]; then
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
	elif [[ $prev == -s || $prev == --store ]]; then
		mapfile -t COMPREPLY < <(compgen -d -- "$cur")
	elif [[ $prev == --format ]]; then
		mapfile -t COMPREPLY < <(compgen -W "json cbor" -- "$cur")
	elif [[ $command == users && $COMP_CWORD == 2 ]]; then
		mapfile -t COMPREPLY < <(compgen -W "list show export import" -- "$cur")
	elif [[ $command == audit && $COMP_CWORD == 2 ]]; then
		mapfile -t COMPREPLY < <(compgen -W "export verify rotate" -- "$cur")
	elif [[ $command == audit ]]; then
		mapfile -t COMPREPLY < <(compgen -W "--config --store --format --since --until --request --help" -- "$cur")
	elif [[ $command == users ]]; then
		mapfile -t COMPREPLY < <(compgen -W "--config --store --home --mc-service-id --json --help" -- "$cur")
	else
		mapfile -t COMPREPLY < <(compgen -W "--config --help" -- "$cur")
	fi
}
complete -F _acms acms
