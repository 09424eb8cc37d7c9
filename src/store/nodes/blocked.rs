//! Why a node waits for a person or for a change of the account, and when it may be tried again by itself.

/// Why what was changed here is not sent. The number is what the database holds (0: it is not blocked).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Blocked {
    /// Declined without a reason that has a number of its own.
    Refused = 1,
    /// The account's space is used up.
    Quota = 2,
    /// Larger than the plan's largest file.
    TooLarge = 3,
    /// The plan has no (more) empty files.
    EmptyFile = 4,
    /// The service takes no such name.
    Name = 5,
    /// The service lets nobody change the item, or not this account.
    Forbidden = 6,
    /// Staged bytes do not open: changed or lost on the local disk.
    Damaged = 7,
    /// What a partial write lies on is not to be had from the server any more.
    BaseLost = 8,
}

/// Something that may have removed a reason.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum News {
    /// The account's usage or its quota is another than it was.
    Usage,
    /// The plan may be another, or nobody has looked for long.
    Plan,
    /// A person asks for everything to be sent.
    Asked,
}

impl Blocked {
    /// All of them.
    pub const ALL: [Blocked; 8] = [
        Blocked::Refused,
        Blocked::Quota,
        Blocked::TooLarge,
        Blocked::EmptyFile,
        Blocked::Name,
        Blocked::Forbidden,
        Blocked::Damaged,
        Blocked::BaseLost,
    ];

    /// Whether it is worth another try after `news`. What is lost here or there never goes by itself; a change of
    /// the node (new content, another name) unblocks it whatever the reason.
    #[must_use]
    pub fn may_pass(self, news: News) -> bool {
        match self {
            Blocked::Quota => true,
            Blocked::Refused | Blocked::TooLarge | Blocked::EmptyFile | Blocked::Forbidden => {
                news != News::Usage
            }
            Blocked::Name => news == News::Asked,
            Blocked::Damaged | Blocked::BaseLost => false,
        }
    }

    pub(super) fn code(of: Option<Blocked>) -> i64 {
        of.map_or(0, |b| i64::from(b as u8))
    }

    /// A number that is not known was written by a later version.
    pub(super) fn from_code(code: i64) -> Option<Blocked> {
        (code != 0)
            .then(|| Self::ALL.into_iter().find(|b| Self::code(Some(*b)) == code).unwrap_or(Blocked::Refused))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_survive_the_database_and_unknown_ones_still_block() {
        for blocked in Blocked::ALL {
            assert_eq!(Blocked::from_code(Blocked::code(Some(blocked))), Some(blocked));
        }
        assert_eq!(Blocked::from_code(Blocked::code(None)), None);
        // Databases from before there were reasons say 1.
        assert_eq!(Blocked::from_code(1), Some(Blocked::Refused));
        assert_eq!(Blocked::from_code(99), Some(Blocked::Refused));
    }

    #[test]
    fn each_reason_waits_for_its_own_news() {
        let passing = |news| Blocked::ALL.into_iter().filter(|b| b.may_pass(news)).collect::<Vec<_>>();
        assert_eq!(passing(News::Usage), [Blocked::Quota]);
        let lost = [Blocked::Damaged, Blocked::BaseLost];
        assert!(lost.iter().all(|b| !passing(News::Plan).contains(b) && !passing(News::Asked).contains(b)));
        assert!(!passing(News::Plan).contains(&Blocked::Name), "the same name is refused again");
        assert_eq!(passing(News::Asked).len(), Blocked::ALL.len() - lost.len());
    }
}
