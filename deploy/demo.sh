#!/usr/bin/env bash
# deploy/demo.sh [--json] [--keep]: the whole of P2P-NetPay on one machine, from nothing, as a story.
# Real programs, a real NATS server, real files, in a fresh temporary directory and on free ports. Ends with `demo: ok`, or
# with the first expectation that was broken. --json: one object on stdout at the end. --keep: leaves all of it running.
set -euo pipefail

as_json='' keep=''
for argument in "$@"; do
  case $argument in
    --json) as_json=1 ;;
    --keep) keep=1 ;;
    -h | --help)
      sed -n '2,4s/^# //p' "${BASH_SOURCE[0]}"
      exit
      ;;
    *)
      echo "demo: unknown option $argument; there are --json and --keep" >&2
      exit 2
      ;;
  esac
done

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}
# The story goes to stdout; with --json to stderr, so that stdout holds the object alone.
exec 3>&1
[[ -z $as_json ]] || exec 1>&2

"$root/deploy/setup.sh"
"$root/deploy/build.sh" build --workspace --bins --locked
# shellcheck source=deploy/env.sh
. "$root/deploy/env.sh"
# What a user has set must not lead the story to a user's own broker or wallet.
unset NATS_URL NATS_CREDS NETPAY_HOME NETPAY_CONFIG NETPAY_NATS_URL NETPAY_HTTP NETPAY_BROKER NETPAY_PASSPHRASE NETPAY_PASSPHRASE_FILE

world=$(mktemp -d "${TMPDIR:-/tmp}/netpay-demo.XXXXXX")
declare -A pids=()

chapter() { printf '\n%s\n%s\n' "$*" "${*//?/-}"; }
say() { printf '  %s\n' "$*"; }
fail() {
  printf '\ndemo: FAILED: %s\n' "$*" >&2
  exit 1
}
# expect WHAT GOT WANTED
expect() { [[ $2 == "$3" ]] || fail "$1: expected $3, got $2"; }
# field EXPRESSION: of the JSON object on stdin, as `o`.
field() {
  python3 -c 'import json, sys
o = json.load(sys.stdin)
v = eval(sys.argv[1])
print(json.dumps(v) if isinstance(v, (bool, dict, list)) else v)' "$1"
}

stop_all() {
  local status=$? name
  if [[ -n $keep && $status == 0 ]]; then
    return
  fi
  # NATS last: the others say goodbye to it. What does not end by itself within 5 s is ended.
  local nats_pid=${pids[nats]-}
  unset 'pids[nats]'
  for name in "${!pids[@]}"; do kill "${pids[$name]}" 2>/dev/null || true; done
  for _ in $(seq 1 50); do
    jobs -pr | grep -qvx "${nats_pid:-none}" || break
    sleep 0.1
  done
  for name in "${!pids[@]}"; do kill -9 "${pids[$name]}" 2>/dev/null || true; done
  [[ -z $nats_pid ]] || kill "$nats_pid" 2>/dev/null || true
  if [[ $status == 0 ]]; then
    rm -rf "$world"
  else
    echo "demo: logs and wallets are left in $world" >&2
  fi
}
trap stop_all EXIT
trap 'exit 130' INT TERM

# start NAME READY-TEXT COMMAND…: runs it in the background until it says that it is ready.
start() {
  local name=$1 ready=$2
  shift 2
  : >"$world/$name.log" # an earlier run of it said that it was ready, too
  "$@" >"$world/$name.log" 2>&1 </dev/null 3>&- &
  pids[$name]=$!
  for _ in $(seq 1 200); do
    if grep -q -- "$ready" "$world/$name.log"; then return; fi
    kill -0 "${pids[$name]}" 2>/dev/null || break
    sleep 0.05
  done
  fail "$name did not start: $(tail -n 3 "$world/$name.log")"
}

# stop NAME SIGNAL: ends one of ours, and returns its exit code.
stop() {
  local pid=${pids[$1]} code=0
  kill "-$2" "$pid"
  wait "$pid" 2>/dev/null || code=$?
  unset "pids[$1]"
  stopped=$code
}

broker() { "$target/debug/netpay-broker" --json "$@" --config "$world/broker"; }
cheat() { "$target/debug/netpay-cheat" --state "$world/mallory" --nats "$nats" --broker "$broker_id" "$@"; }
# peer NAME COMMAND…
peer() {
  local home=$world/$1
  shift
  "$target/debug/netpay" --home "$home" --json "$@" 2>>"$world/peers.log"
}
serve_broker() {
  start broker '"ready":true' "$target/debug/netpay-broker" --json serve --config "$world/broker"
  http=$(grep '"ready":true' "$world/broker.log" | field 'o["http"]')
}
# show_wallet WANTED-INDEX ECOIN: the row of Figs. 4 and 6.
show_wallet() {
  local row
  row=$(peer alice wallet show | field "next(e for e in o['wallet'] if e['ecoin'] == '$2')")
  say "alice's e-wallet:  IDe ${2:0:8}…  index $(field 'o["index"]' <<<"$row")  remaining $(field 'o["remaining_words"]' <<<"$row")"
  expect "the wallet's index" "$(field 'o["index"]' <<<"$row")" "$1"
}
# show_till PEER WANTED-INDEX WANTED-PRICE ECOIN: the row of Figs. 5, 7 and 9.
show_till() {
  local row
  row=$(peer "$1" wallet show | field "next(c for c in o['till'] if c['ecoin'] == '$4')")
  say "$1's till:  IDe ${4:0:8}…  index $(field 'o["index"]' <<<"$row")  price $(field 'o["price_units"]' <<<"$row")"
  expect "$1's index" "$(field 'o["index"]' <<<"$row")" "$2"
  expect "$1's price" "$(field 'o["price_units"]' <<<"$row")" "$3"
}
balance() { broker account show "$1" | field 'o["balance_units"]'; }
# redeem NAME: until the broker has answered, as a person would.
redeem() {
  local said code
  for _ in 1 2 3 4 5; do
    code=0
    said=$(peer "$1" redeem) || code=$?
    case $code in
      0) break ;;
      6 | 75) sleep 1 ;; # not reached: the same batch again
      *) fail "$1 could not redeem ($code): $said" ;;
    esac
  done
  ((code == 0)) || fail "$1 could not redeem: $said"
  printf '%s\n' "$said"
}

chapter "a. NATS, a broker, an index, three peers"
start nats 'Server is ready' nats-server -a 127.0.0.1 -p -1 --ports_file_dir "$world"
nats=$(cat "$world"/nats-server_*.ports | field 'o["nats"][0]')
say "NATS at $nats"
broker_id=$("$target/debug/netpay-broker" --json init --dir "$world/broker" --nats "$nats" --http 127.0.0.1:0 | field 'o["broker"]')
serve_broker
say "broker $broker_id, metrics at http://$http/metrics"
"$target/debug/netpay-broker" --json init --dir "$world/index" --role index --broker "$broker_id" --nats "$nats" \
  --http 127.0.0.1:0 >/dev/null
start index '"ready":true' "$target/debug/netpay-broker" --json serve --config "$world/index"
say "index, in a process of its own"
declare -A id=()
for name in alice bob carol; do
  id[$name]=$(peer "$name" init --no-passphrase --broker "$broker_id" --nats "$nats" | field 'o["peer"]')
  say "$name is ${id[$name]}"
done
broker account credit "${id[alice]}" 1000 --reference 'demo deposit' >/dev/null
say "the operator credits alice with 1000 units"

chapter "b. The paper's example: n = 50 under MD5, paid per payment"
mkdir "$world/files"
printf 'three units of music\n' >"$world/files/three.txt"
printf 'two units of music\n' >"$world/files/two.txt"
printf 'one unit of music\n' >"$world/files/one.txt"
cp "$target/debug/netpay-broker" "$world/files/program.bin"
big=$(stat -c %s "$world/files/program.bin")
((big >= 20000000)) || truncate -s 20000000 "$world/files/program.bin"
big_price=300
share() { peer "$1" share add "$world/files/$2" --price "$3" --tags demo | field 'o["content"]'; }
three=$(share bob three.txt 3) two=$(share bob two.txt 2) program=$(share bob program.bin "$big_price")
one=$(share carol one.txt 1)
for name in bob carol; do
  start "$name" '"ready":true' "$target/debug/netpay" --home "$world/$name" --json serve
done
paper=$(peer alice buy --n 50 --suite md5 | field 'o["ecoins"][0]["ecoin"]')
say "alice buys e-coin IDe $paper"
mkdir "$world/got"
get() { peer alice get "$1" --from "${id[$2]}" --pay per-payment -o "$world/got/$3" | field 'o["paid_units"]'; }
expect "the first file's price" "$(get "$three" bob three.txt)" 3
say "alice buys a file of 3 units from bob (Figs. 4 and 5)"
show_wallet 4 "$paper"
show_till bob 4 3 "$paper"
expect "the second file's price" "$(get "$two" bob two.txt)" 2
say "alice buys a file of 2 units from bob (Figs. 6, 7 and 9)"
show_wallet 6 "$paper"
show_till bob 6 5 "$paper"
expect "the third file's price" "$(get "$one" carol one.txt)" 1
say "alice buys a file of 1 unit from carol"
show_wallet 7 "$paper"
show_till carol 7 1 "$paper"
for file in three two one; do
  cmp "$world/files/$file.txt" "$world/got/$file.txt" || fail "$file.txt arrived changed"
done
peer alice buy --n 256 --count 2 >/dev/null
say "alice buys two more e-coins of 256 words (SHA-256)"

chapter "c. The broker sleeps; alice pays bob for a real file, word by word"
stop broker TERM
expect "the broker's exit code after SIGTERM" "$stopped" 0
found=$(peer alice search program demo)
expect "what the search finds" "$(field 'o["hits"][0]["content"]' <<<"$found")" "$program"
say "the index lives: alice finds $(field 'o["hits"][0]["name"]' <<<"$found") for $(field 'o["hits"][0]["price_units"]' <<<"$found") units"
got=$(peer alice get "$program" --max-price "$big_price" -o "$world/got/program.bin")
downloaded=$(field 'o["bytes"]' <<<"$got") seconds=$(field 'round(o["seconds"], 3)' <<<"$got")
say "downloaded $downloaded bytes in $seconds s for $(field 'o["words"]' <<<"$got") words, with the broker down"
expect "what the file cost" "$(field 'o["paid_units"]' <<<"$got")" "$big_price"
cmp "$world/files/program.bin" "$world/got/program.bin" || fail "the file arrived changed"
say "every chunk was verified against BLAKE3 $program"

chapter "d. The broker wakes; bob and carol redeem, and it is killed in the middle"
serve_broker
spent=$((3 + 2 + 1 + big_price))
bob_got=$(redeem bob | field 'o["credited_units"]')
say "bob redeems $bob_got units"
# Stopped, the broker has carol's batch before it and has not answered; then it dies.
kill -STOP "${pids[broker]}"
peer carol redeem >"$world/carol-redeem.log" &
carol=$!
sleep 1
stop broker KILL
say "carol's batch is on its way when the broker is killed with -9"
serve_broker
wait "$carol" || say "carol hears nothing, and asks again"
redeem carol >/dev/null
carol_got=$(balance "${id[carol]}")
say "carol has $carol_got unit after the restart"
redeemed=$((bob_got + carol_got))
expect "what was redeemed" "$redeemed" "$spent"
expect "bob's account" "$(balance "${id[bob]}")" "$bob_got"
for name in bob carol; do
  again=$(peer "$name" redeem --all)
  expect "a second redemption's credit" "$(field 'o["credited_units"]' <<<"$again")" 0
  expect "a second redemption's conflicts" "$(field 'sum(b["conflicting_words"] for b in o["batches"])' <<<"$again")" 0
done
expect "the double spends" "$(broker doublespend list | field 'len(o["double_spends"])')" 0
say "the same claims again credit nothing and accuse nobody: $redeemed units redeemed of $spent spent"

chapter "e. A cheating wallet spends the same words twice"
mallory=$(cheat init | field 'o["peer"]')
broker account credit "$mallory" 20 --reference 'mallory deposit' >/dev/null
cheat buy 20 >/dev/null
paid=$(cheat spend 5 "${id[bob]}=$three" "${id[carol]}=$one")
expect "both payees accept, off-line" "$(field 'all(p["accepted"] for p in o["payments"])' <<<"$paid")" true
say "mallory pays bob and carol with the same five words; neither can know"
redeem bob >/dev/null
verdict=$(redeem carol | field '[l["verdict"] for b in o["batches"] for l in b["lines"]]')
expect "the verdict for carol" "$verdict" '["conflicting"]'
spends=$(broker doublespend list)
expect "the double spends" "$(field 'len(o["double_spends"])' <<<"$spends")" 1
expect "the evidence" "$(field 'all(o["double_spends"][0][g]["signature"] for g in ("paid_grant", "grant"))' <<<"$spends")" true
account=$(broker account show "$mallory")
expect "mallory is suspended" "$(field 'o["suspended"]' <<<"$account")" true
expect "mallory's debt" "$(field 'o["debt_units"]' <<<"$account")" 5
say "carol's claim is answered 'conflicting'; both grants are on record; mallory is suspended and owes 5 units"
sleep 1 # the list is published within half a second
stop broker TERM
refused=$(cheat spend 8 "${id[bob]}=$three")
expect "bob accepts mallory's next payment" "$(field 'o["payments"][0]["accepted"]' <<<"$refused")" false
say "with the broker asleep again, bob refuses her: $(field 'o["payments"][0]["reason"]' <<<"$refused")"
[[ $(field 'o["payments"][0]["reason"]' <<<"$refused") == *revocation* ]] || fail "bob refused for another reason"
serve_broker

chapter "f. Every cent is explained"
audit=$(broker ledger audit)
expect "the audit" "$(field 'o["ok"]' <<<"$audit")" true
# The first scan of a fresh process may still be under way.
for _ in $(seq 1 100); do
  [[ $(python3 -c 'import sys, urllib.request as u
try: print(u.urlopen(sys.argv[1]).status)
except Exception as e: print(e)' "http://$http/readyz") != 200 ]] || break
  sleep 0.05
done
imbalance=$(python3 -c 'import sys, urllib.request as u
print(*[l.split()[1] for l in u.urlopen(sys.argv[1]).read().decode().splitlines() if l.startswith("netpay_ledger_imbalance_units ")])' "http://$http/metrics")
expect "the imbalance in /metrics" "$imbalance" 0
stop broker TERM
rebuilt=$(broker ledger rebuild)
expect "the rebuilt ledger's digest" "$(field 'o["digest"]' <<<"$rebuilt")" "$(field 'o["digest"]' <<<"$audit")"
say "audit passed at position $(field 'o["position"]' <<<"$audit"); rebuilt from its log, the ledger has the same digest"
say "imbalance $imbalance, state digest $(field 'o["digest"]' <<<"$audit")"

if [[ -n $keep ]]; then
  serve_broker
  chapter "Left running, in $world"
  say "NATS $nats, metrics http://$http/metrics, broker $broker_id"
  say "a peer:   $target/debug/netpay --home $world/alice balance"
  say "stop it:  kill ${pids[*]}"
fi
if [[ -n $as_json ]]; then
  python3 -c 'import json, sys
a = sys.argv
print(json.dumps({"ok": True, "spent_units": int(a[1]), "redeemed_units": int(a[2]), "double_spends": int(a[3]),
  "downloaded_bytes": int(a[4]), "download_seconds": float(a[5]), "audit": json.loads(a[6])}))' \
    "$spent" "$redeemed" "$(field 'len(o["double_spends"])' <<<"$spends")" "$downloaded" "$seconds" "$audit" >&3
fi
printf '\ndemo: ok\n'
