//! One suite over every implementation of `Remote`: what the trait promises, and what the service is known to
//! do. An implementation joins as one more line of `suite!`.

// Tests fail by panicking.
#![allow(clippy::unwrap_used)]

mod common;
mod conformance;

use conformance::{emulated, worlds};

/// One test a case and world; after it the world is asked whether data was harmed.
macro_rules! tests {
    ($make:expr; $($group:ident { $($case:ident)* })*) => { $(
        mod $group {
            $(
                #[tokio::test]
                async fn $case() {
                    let harness = ($make)().await;
                    crate::conformance::$group::$case(&harness).await;
                    harness.world.check().await;
                }
            )*
        }
    )* };
}

macro_rules! suite {
    ($($world:ident => $make:expr;)*) => { $(
        mod $world {
            tests! { $make;
                account {
                    the_root_is_a_living_folder
                    usage_and_limits_answer
                    changes_of_one_client_are_seen_by_the_other
                    events_of_another_client_are_announced
                }
                listing {
                    an_unknown_folder_is_not_found
                    a_trashed_folder_is_not_found
                    long_lists_are_complete_and_without_doubles
                    only_living_direct_children_are_listed
                    find_sees_every_split_and_both_kinds
                    stat_tells_kinds_and_strangers_apart
                }
                names {
                    case_and_normal_forms_differ
                    odd_names_come_back_as_given
                    a_split_is_part_of_the_name
                    a_file_and_a_folder_share_a_name
                    bad_folder_names_are_refused
                    overlong_names_are_not_stored
                }
                create {
                    the_row_is_as_registered
                    times_are_kept_to_the_millisecond
                    a_taken_name_is_refused
                    a_trashed_row_holds_no_name
                    a_parent_must_live_itself
                    content_and_size_must_agree
                    empty_files_have_no_content
                    the_plan_rations_empty_files
                    the_plan_limits_the_size
                    of_racing_creates_one_wins
                }
                folders {
                    the_row_is_as_asked
                    a_taken_name_is_refused
                    a_trashed_or_deleted_parent_is_accepted
                    an_unknown_parent_is_not_found
                    of_racing_creates_one_wins
                }
                replace {
                    content_changes_and_identity_stays
                    the_old_content_is_gone_at_once
                    the_same_content_is_refused
                    the_last_writer_wins
                    empty_and_back
                    former_contents_are_counted
                    only_living_files
                }
                relocate {
                    moves_and_renames_in_one_step
                    being_there_is_success
                    a_taken_name_is_refused
                    an_extension_can_go
                    a_destination_must_live
                    a_source_must_be_there
                    a_trashed_file_is_restored
                    a_trashed_folder_comes_back_with_its_children
                    a_cycle_is_accepted_and_can_be_undone
                }
                removal {
                    trashed_rows_are_hidden_and_their_children_live
                    trash_takes_anything
                    trash_takes_more_than_a_request_holds
                    a_deleted_file_answers_and_a_folder_does_not
                    gone_already_is_success
                    the_trash_shows_what_was_put_into_it_and_not_what_lies_below
                    the_root_stays
                    deletion_reaches_what_lies_below
                }
                feeds {
                    pages_reach_every_row_in_order
                    equal_instants_longer_than_a_page_are_crossed
                    scopes_differ_by_status
                    a_moved_folder_is_one_row
                    newest_is_the_last_of_the_feed
                    the_root_never_appears
                }
                content {
                    ranges_at_all_alignments
                    odd_ranges
                    a_whole_read_is_verified
                    a_lost_object_is_not_found
                    verify_compares_plaintext
                    every_upload_is_a_version_of_its_own
                    an_unreadable_body_fails_the_upload
                    a_full_account_refuses_uploads
                    a_large_upload_comes_back
                    discarded_content_is_gone
                    a_file_keeps_its_bucket
                }
            }
        }
    )* };
}

suite! {
    memory => crate::worlds::memory;
    fault_over_memory => crate::worlds::fault_over_memory;
    internxt => crate::emulated::internxt;
    internxt_in_bad_weather => crate::emulated::internxt_in_bad_weather;
}
