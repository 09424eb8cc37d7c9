//! Words for deletes that are held back.

use crate::fs::Status;

/// What happened and the two ways out, if deletes are held back.
pub fn words(status: &Status, mountpoint: Option<&str>) -> Option<String> {
    let brake = status.brake?;
    let at = mountpoint.map(|m| format!(" {m}")).unwrap_or_default();
    let of = match brake.removed {
        0 => "very many files and folders".to_owned(),
        n => format!("{n} of {} files and folders", brake.of),
    };
    Some(format!(
        "{of} were deleted within ten minutes, so no delete is sent; {} wait. `inxtfs resume{at}` sends them, \
         `inxtfs restore --pending{at}` takes them back",
        deletes(brake.held)
    ))
}

/// `1 delete`, `2 deletes`.
pub fn deletes(n: u64) -> String {
    if n == 1 { "1 delete".to_owned() } else { format!("{n} deletes") }
}
