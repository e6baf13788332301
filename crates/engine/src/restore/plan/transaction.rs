//! Which backups certainly precede the end of a transaction, by numbers alone.
//!
//! A backup records a number that was given out right after it ended (`next_xid`, 64 bits with the epoch). A transaction from it
//! on began behind the backup's end, so it ended there, too; of an older one nobody knows. A person names the lower 32 bits.
//! Promise: a way is kept only where that is certain whatever the epoch; where numbers have come round, nothing is guessed.

use super::judge::Way;

/// Numbers of transactions come round after so many.
const ROUND: u64 = 1 << 32;
/// A server has at most so many of them in use at once: what is further ahead than this lies behind.
const HALF: u64 = 1 << 31;

const UNTOLD: &str = "the backups do not say how far transactions' numbers had come when they ended: they were taken from a standby, \
     or by an older seawall";
const TOO_OLD: &str = "it had its number before any of these backups had ended, so only its commit's time tells on which side of \
     them it ended";
const COME_ROUND: &str =
    "transactions' numbers have come round since the oldest of these backups, so several had this one";

/// The ways whose backups ended before the transaction began; or why nobody can tell.
pub(super) fn behind<'a>(ways: &[Way<'a>], xid: u32) -> Result<Vec<Way<'a>>, &'static str> {
    let known = || ways.iter().filter_map(|way| way.backup.next_xid);
    let (Some(oldest), Some(newest)) = (known().min(), known().max()) else { return Err(UNTOLD) };
    let full = only_number(oldest, newest, xid)?;
    Ok(ways.iter().filter(|way| way.backup.next_xid.is_some_and(|next| next <= full)).cloned().collect())
}

/// The one number with these lower bits that can have been given out behind the oldest backup. Behind the newest one nobody
/// knows how far numbers have come: half a round is what the server allows to be in use.
fn only_number(oldest: u64, newest: u64, xid: u32) -> Result<u64, &'static str> {
    let until = newest.saturating_add(HALF);
    let first = (oldest / ROUND) * ROUND + u64::from(xid);
    let first = if first < oldest { first.saturating_add(ROUND) } else { first };
    match first < until {
        false => Err(TOO_OLD),
        true if first.saturating_add(ROUND) < until => Err(COME_ROUND),
        true => Ok(first),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_number_is_found_across_the_end_of_an_epoch() {
        let last = ROUND - 10;
        assert_eq!(only_number(last, last + 5, 4_294_967_290), Ok(ROUND - 6));
        assert_eq!(only_number(last, last + 5, 700), Ok(ROUND + 700), "numbers come round behind the newest");
        assert_eq!(only_number(1000, 2000, 1500), Ok(1500));
        assert_eq!(only_number(1000, 2000, 900), Err(TOO_OLD));
        assert_eq!(only_number(1000, 2000 + HALF + ROUND, 1500), Err(COME_ROUND));
    }

    proptest! {
        /// A life of a cluster: numbers are given out and backups end, in any order. Whatever number that is certainly in the
        /// archive is asked for, the answer is that transaction or a refusal, never another one.
        #[test]
        fn a_transaction_is_never_taken_for_another(
            start in 3..4 * ROUND,
            steps in prop::collection::vec((0..ROUND / 2, any::<bool>()), 1..12),
            pick in any::<prop::sample::Index>(),
            below in 0..1_000_000_u64,
        ) {
            let (mut next, mut stops, mut given) = (start, vec![start], Vec::new());
            for (more, is_backup) in steps {
                next += more;
                if is_backup { stops.push(next) } else { given.push(next) }
            }
            let (oldest, newest) = (stops[0], *stops.last().unwrap());
            given.retain(|xid| *xid < newest + HALF);
            prop_assume!(!given.is_empty());
            let wanted = given[pick.index(given.len())];
            let lower = u32::try_from(wanted % ROUND).unwrap();
            match only_number(oldest, newest, lower) {
                Ok(found) => prop_assert_eq!(found, wanted),
                Err(why) => prop_assert_eq!(why, COME_ROUND),
            }
            // One from before the oldest backup is refused, or it is one that a later transaction has as well.
            let before = start.saturating_sub(1 + below).max(3);
            let lower = u32::try_from(before % ROUND).unwrap();
            prop_assume!(before < start);
            if let Ok(found) = only_number(oldest, newest, lower) {
                prop_assert!(found >= before + ROUND);
            }
        }
    }
}
