//! Which plans are valid, and how a deadline shortens them.

use proptest::prelude::*;

use super::*;

fn seconds(lame_duck: u64, drain: u64, flush: u64, grace: u64) -> Plan {
    let seconds = Duration::from_secs;
    Plan::default()
        .with_lame_duck(seconds(lame_duck))
        .with_drain(seconds(drain))
        .with_flush(seconds(flush))
        .with_grace(seconds(grace))
}

#[test]
fn the_default_fits() {
    Plan::default().validate().expect("the default is valid");
}

#[test]
fn a_sum_that_equals_the_grace_is_refused_with_all_four_values() {
    let error = seconds(6, 16, 8, 30).validate().expect_err("6 + 16 + 8 is not shorter than 30");
    insta::assert_snapshot!(error, @"lame_duck 6s + drain 16s + flush 8s must be shorter than grace 30s");
}

#[test]
fn a_sum_that_overflows_is_refused() {
    Plan::default().with_lame_duck(Duration::MAX).validate().expect_err("no grace is longer than that");
}

#[test]
fn a_deadline_shrinks_the_lame_duck_first_and_leaves_the_flush_a_quarter() {
    let plan = seconds(5, 15, 5, 30);
    let within = |deadline| plan.within(Duration::from_secs(deadline));
    let milliseconds = Duration::from_millis;

    assert_eq!(within(60), plan);
    assert_eq!(within(26), Plan { grace: milliseconds(26_000), ..plan });
    assert_eq!(within(22).lame_duck, milliseconds(1_750));
    assert_eq!((within(22).drain, within(22).flush), (plan.drain, plan.flush));
    assert_eq!((within(15).lame_duck, within(15).drain), (Duration::ZERO, milliseconds(11_000)));
    assert_eq!(within(15).flush, milliseconds(3_750));
    assert_eq!((within(4).drain, within(4).flush), (milliseconds(2_750), milliseconds(1_000)));
}

#[test]
fn the_stages_that_a_deadline_shortens_are_named() {
    let plan = seconds(5, 15, 5, 30);
    let shortened = |deadline| plan.within(Duration::from_secs(deadline)).shortened(&plan);
    assert_eq!(shortened(26), []);
    assert_eq!(shortened(22), [Stage::LameDuck]);
    assert_eq!(shortened(4), Stage::ALL);
}

proptest! {
    #[test]
    fn a_plan_within_any_deadline_is_valid(
        lame_duck in 0..100_u64, drain in 0..100_u64, flush in 0..100_u64, spare in 1..100_u64,
        deadline in 1..1_000_000_000_000_u64,
    ) {
        let plan = seconds(lame_duck, drain, flush, lame_duck + drain + flush + spare);
        let deadline = Duration::from_nanos(deadline);
        let within = plan.within(deadline);
        prop_assert!(within.grace <= deadline);
        prop_assert!(within.lame_duck <= plan.lame_duck && within.drain <= plan.drain && within.flush <= plan.flush);
        prop_assert!(within.flush >= plan.flush.min(deadline / 4));
        if deadline >= Duration::from_nanos(10) {
            prop_assert!(within.validate().is_ok(), "{:?}", within);
        }
    }
}
