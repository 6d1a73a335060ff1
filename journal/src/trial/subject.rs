//! By which name an insurer hears of somebody when the secret of names is renewed in between.

use enrich::registry::Product;

use super::{GERMANY, NETHERLANDS, NOW_MS, Trial, reading};
use crate::{Change, TriggerRow};

fn told(trial: &Trial) -> Vec<TriggerRow> {
    trial.reader().released_after(0, 1_000).unwrap()
}

fn subjects(trial: &Trial) -> Vec<String> {
    let known = trial.reader().subjects("P-a").unwrap().unwrap();
    let versions: Vec<u32> = known.subjects.iter().map(|subject| subject.key_version).collect();
    assert_eq!(versions, (1..=versions.len() as u32).collect::<Vec<_>>());
    known.subjects.into_iter().map(|subject| subject.subject).collect()
}

#[test]
fn what_was_said_keeps_its_name_and_what_is_said_next_has_the_new_one() {
    let mut trial = Trial::new(u64::MAX);
    let there = [reading(0, NETHERLANDS), reading(300, GERMANY), reading(350, GERMANY)];
    trial.send("car-a", &there);
    let first = told(&trial).remove(0);
    assert_eq!(trial.writer_mut().rotate_pseudonyms().unwrap(), 2);
    let names = subjects(&trial);
    assert_eq!((names.len(), &names[0]), (2, &first.body.subject));
    assert_eq!(told(&trial), std::slice::from_ref(&first), "what is asked for again is as it was");
    // A late reading moves the crossing: the correction goes to the name it was first said of.
    trial.send("car-a", &[reading(200, NETHERLANDS)]);
    let revised = told(&trial).remove(1);
    assert_eq!((revised.status.as_str(), revised.body.id.as_str()), ("revised", &*first.body.id));
    assert_eq!(revised.body.subject, names[0]);
    trial.restart();
    assert_eq!(subjects(&trial), names, "it survives a crash");
    trial.at(NOW_MS + 60_000);
    trial.send("car-a", &[reading(500, NETHERLANDS), reading(550, NETHERLANDS)]);
    let back = told(&trial).remove(2);
    assert_eq!((back.status.as_str(), &back.body.subject), ("fired", &names[1]));
    trial.check();

    // Whoever is to delete is told under every name.
    assert!(trial.change(Change::Withdraw {
        customer: "anna".into(),
        insurer: "alpina".into(),
        purpose: Product::Travel,
    }));
    let notices = told(&trial);
    let notices = notices.iter().filter(|row| row.status == "notice");
    assert_eq!(notices.map(|row| row.body.subject.clone()).collect::<Vec<_>>(), names);
    assert_eq!(trial.reader().subjects("P-z").unwrap(), None);
}

#[test]
fn a_test_takes_its_place_in_the_sequence_and_is_about_nobody() {
    let mut trial = Trial::new(u64::MAX);
    let to_alpina = |trial: &mut Trial, insurer: &str| {
        trial.writer_mut().test_trigger(insurer.into(), Product::Travel)
    };
    let sent = to_alpina(&mut trial, "alpina").unwrap();
    trial.send("car-a", &[reading(0, NETHERLANDS), reading(300, GERMANY), reading(350, GERMANY)]);
    let again = to_alpina(&mut trial, "alpina").unwrap();
    assert!(to_alpina(&mut trial, "nobody").is_err());
    trial.restart();
    let told = told(&trial);
    let sequences: Vec<&str> = told.iter().map(|row| row.body.sequence.as_str()).collect();
    assert_eq!(sequences.len(), 3);
    assert_eq!((sequences[0], sequences[2]), (&*sent.sequence, &*again.sequence));
    assert!(sequences.is_sorted() && sent.id != again.id);
    assert_eq!((told[0].status.as_str(), told[0].body.subject.as_str()), ("test", "test"));
    assert_eq!(sent.topic, "triggers/alpina/travel/test");
    trial.check_totals();
}
