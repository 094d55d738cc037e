#!/bin/sh
# 1990 年代的做法：一个脚本、curl 和一个 CSV。 The way of the 1990s: a shell script, curl and a CSV.
#   verify.sh 名单.csv > 结果.csv        每行：流水号,证件号   each line: reference,identity number
# 环境变量 environment: GATEWAY (http://127.0.0.1:8899)  TOKEN_FILE (local.token)  SERVICE  TRIES (10)
set -eu
GATEWAY=${GATEWAY:-http://127.0.0.1:8899}
TOKEN=$(cat "${TOKEN_FILE:-local.token}")
echo "reference,state,columns"
tail -n +2 "$1" | while IFS=, read -r reference number; do
    number=$(printf %s "$number" | tr -d '\r')
    tries=${TRIES:-10}
    state=waiting
    while [ "$tries" -gt 0 ]; do
        # 证件号只在请求体里，不进网址、日志和进程列表。 The number stays in the body: not in URLs, logs or process lists.
        answer=$(printf 'service=%s&reference=%s&id_no=%s' "$SERVICE" "$reference" "$number" |
            curl -sS -H "Authorization: Bearer $TOKEN" -H 'Accept: text/plain' --data-binary @- "$GATEWAY/verify")
        state=$(printf '%s\n' "$answer" | sed -n 's/^state=//p')
        case $state in new | waiting | hub_away | clock_wrong) sleep 1 ;; *) break ;; esac
        tries=$((tries - 1))
    done
    columns=$(printf '%s\n' "$answer" | grep -v -E '^(reference|ticket|state|code|zh)=' | tr '\n' ';')
    echo "$reference,$state,$columns"
done
