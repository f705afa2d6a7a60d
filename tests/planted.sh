#!/usr/bin/env bash
# tests/planted.sh: plants one fault after the other (tests/planted) and sees that the named tests fail for it, and pass
# without it. Prints which test found what, in how many seconds. A fault that nothing finds fails the suite.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=deploy/env.sh
. deploy/env.sh

# Fault, the file of tests (package:target), and the test that has to find it.
finders() {
  cat <<'END'
idempotency-skipped     netpay-ledger:requests   a_purchase_debits_once_however_often_it_arrives
idempotency-skipped     netpay-ledger:model      MODEL
key-not-checked         netpay-ledger:rotations  after_a_rotation_only_the_new_key_speaks_for_the_account
key-not-checked         netpay-ledger:model      MODEL
reference-forgotten     netpay-ledger:requests   a_deposit_counts_once_by_its_reference_and_another_under_it_is_rejected
reference-forgotten     netpay-ledger:model      MODEL
paid-again              netpay-ledger:verdicts   the_same_claim_in_another_batch_is_already_paid_and_nobodys_fault
paid-again              netpay-ledger:model      MODEL
debt-per-claim          netpay-ledger:verdicts   a_debt_is_the_words_lost_over_all_claims_of_the_batch_each_once
debt-per-claim          netpay-ledger:model      MODEL
evidence-mixed-up       netpay-ledger:verdicts   second_claim_on_the_same_word_is_a_double_spend
evidence-mixed-up       netpay-ledger:model      MODEL
conflicts-without-end   netpay-ledger:verdicts   at_most_sixteen_payees_of_an_ecoin_are_recorded_as_hurt
refund-of-all           netpay-ledger:refunds    what_was_not_redeemed_goes_back_a_day_after_the_last_moment_to_redeem
refund-of-all           netpay-ledger:model      MODEL
refund-twice            netpay-ledger:refunds    what_was_not_redeemed_goes_back_a_day_after_the_last_moment_to_redeem
refund-twice            netpay-ledger:model      MODEL
clock-believed          netpay-ledger:refunds    while_the_clock_is_in_doubt_nothing_is_refunded_and_no_debt_is_settled_until_it_is_confirmed
clock-believed          netpay-ledger:model      MODEL
settled-early           netpay-ledger:requests   a_debt_is_paid_by_the_operator_after_the_last_redemption_and_only_as_far_as_the_balance_goes
settled-early           netpay-ledger:model      MODEL
given-back-twice        netpay-ledger:payouts    settled_and_failed_are_final
given-back-twice        netpay-ledger:model      MODEL
restored-for-nothing    netpay-ledger:restored   an_ecoin_sold_after_the_backup_comes_back_its_payer_pays_once_more_and_its_payees_are_whole
restored-for-nothing    netpay-ledger:model      MODEL
invariants-unchecked    netpay-ledger:payouts    events_that_end_a_payout_twice_or_for_another_amount_would_break_an_invariant
posting-forgotten       netpay-ledger:requests   a_purchase_debits_once_however_often_it_arrives
posting-forgotten       netpay-ledger:model      MODEL
request-forgotten       netpay-ledger:requests   a_repeated_batch_has_its_first_outcome
request-forgotten       netpay-ledger:model      MODEL
wrong-owner             netpay-ledger:verdicts   a_grown_claim_is_credited_its_new_words
wrong-owner             netpay-ledger:model      MODEL
first-loss-forgotten    netpay-ledger:restored   an_ecoin_lost_before_the_last_but_one_restore_comes_back_while_nothing_was_reconciled
first-loss-forgotten    netpay-ledger:model      MODEL
not-chained             netpay-ledger:requests   a_purchase_debits_once_however_often_it_arrives
not-chained             netpay-ledger:model      MODEL
off-by-one              netpay-ledger:verdicts   a_claim_reaches_down_to_its_grants_from_and_no_further
off-by-one              netpay-ledger:model      MODEL
payee-not-checked       netpay-ledger:verdicts   a_grant_is_worth_nothing_to_anyone_but_its_payee
payee-not-checked       netpay-ledger:model      MODEL
word-not-checked        netpay-ledger:verdicts   each_claim_gets_the_first_verdict_of_the_table_that_fits
word-not-checked        netpay-ledger:model      MODEL
sync-skipped            netpay-tests:crash       syncs::every_acknowledgement_follows_a_sync
answered-first          netpay-tests:crash       syncs::every_acknowledgement_follows_a_sync
failure-ignored         netpay-tests:crash       faults::an_error_of_the_disk_stops_the_broker_before_it_acknowledges_anything_more
read-unconfirmed        netpay-tests:sim         whoever_leads_what_was_answered_is_in_the_log_once_and_no_answer_is_from_an_old_state
unknown-answered        netpay-tests:sim         whoever_leads_what_was_answered_is_in_the_log_once_and_no_answer_is_from_an_old_state
END
}

model=whatever_is_asked_the_ledger_answers_and_holds_what_the_reference_does
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# Another optimisation gives the crate with the faults, and what stands on it, other names in the target directory: both
# builds stay there side by side, and nothing else is built again.
planted() {
  NETPAY_PLANTED_BUILD=1 deploy/build.sh "$@" --locked --config 'profile.dev.package.netpay-planted.opt-level=2'
}

# programs: the test programs that cargo names, one a line.
programs() { sed -n 's/^ *Executable .*(\(.*\))$/\1/p'; }

# run FAULT PROGRAM TEST: its exit code, with what it says in $scratch/log. Without a fault if that is empty.
run() {
  local environment=(NETPAY_SEED=1 RUST_BACKTRACE=0)
  [[ -z $1 ]] || environment+=("NETPAY_PLANTED=$1")
  env "${environment[@]}" timeout 300 "$2" --exact "$3" >"$scratch/log" 2>&1
}

failed=0
complain() {
  printf '%s\n' "$1" >&2
  failed=1
}

deploy/build.sh test -p netpay-ledger --test requests --locked --no-run 2>&1 | tee "$scratch/said"
plain=$(programs <"$scratch/said")
{
  planted test -p netpay-ledger -p netpay-planted --no-run
  planted test -p netpay-tests --test sim --no-run
} 2>&1 | tee "$scratch/said"
declare -A program
while read -r path; do
  name=${path##*/}
  program[${name%-*}]=$path
done < <(programs <"$scratch/said")

# The crash suite starts the broker that lies beside it: the one with faults in a folder of its own, so that the other is
# the one in its place again.
stage=$netpay_target/planted
mkdir -p "$stage/deps"
deploy/build.sh test -p netpay-tests --test crash --locked --no-run 2>&1 | tee "$scratch/said"
program[crash]=$stage/deps/crash
cp "$(programs <"$scratch/said")" "${program[crash]}"
planted build -p netpay-broker --bins
cp "$netpay_target/debug/netpay-broker" "$stage/"
deploy/build.sh build -p netpay-broker --bins --locked

# A build that nobody asked for faults has none: nothing reads the variable, nothing knows a name.
for path in "$plain" "$netpay_target/debug/netpay-broker"; do
  if grep -q NETPAY_PLANTED "$path"; then complain "$path has planted faults"; fi
done
for path in "${program[requests]}" "$stage/netpay-broker"; do
  grep -q NETPAY_PLANTED "$path" || complain "$path has no planted faults: nothing was tested"
done

finders >"$scratch/finders"
cut -d' ' -f1 "$scratch/finders" | sort -u >"$scratch/found"
sed -n 's/^ *[A-Za-z]* = "\([a-z-]*\)",$/\1/p' tests/planted/src/lib.rs | sort -u >"$scratch/faults"
diff "$scratch/faults" "$scratch/found" >&2 || complain "the faults of the crate and of this list are not the same"

awk '{ print $2, $3 }' "$scratch/finders" | sort -u | while read -r where test; do
  run "" "${program[${where#*:}]}" "${test/#MODEL/$model}" && grep -q '^test result: ok. 1 passed' "$scratch/log" || {
    cat "$scratch/log" >&2
    echo "$where $test does not pass without a fault" >&2
    exit 1
  }
done || complain "what fails without a fault finds none"

printf '%-24s%-26s%-94s%s\n' fault suite test seconds
while read -r fault where test; do
  test=${test/#MODEL/$model}
  started=${EPOCHREALTIME/./} status=0
  run "$fault" "${program[${where#*:}]}" "$test" || status=$?
  took=$((${EPOCHREALTIME/./} - started))
  case $status in
    0) seen="PASSED: the fault is not found" ;;
    124) seen="hung" ;;
    *) seen=$(printf '%d.%02d' $((took / 1000000)) $((took / 10000 % 100))) ;;
  esac
  printf '%-24s%-26s%-94s%s\n' "$fault" "$where" "$test" "$seen"
  [[ $status != 0 && $status != 124 ]] || complain "$fault: $test does not find it"
done <"$scratch/finders"

((failed == 0)) || exit 1
printf '%d faults, each found\n' "$(wc -l <"$scratch/faults")"
