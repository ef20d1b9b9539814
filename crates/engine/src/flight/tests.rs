//! Tests of who is polled and who is told, with futures that end when a test says so.

use std::sync::atomic::AtomicUsize;

use proptest::prelude::*;

use super::*;

/// Counts how often the owner is woken.
#[derive(Default)]
struct Owner(AtomicUsize);

impl Wake for Owner {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Owner {
    fn n_woken(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// What a test has in its hands of a future.
#[derive(Clone, Default)]
struct Remote(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    has_ended: bool,
    wakes_itself: bool,
    n_polled: usize,
    waker: Option<Waker>,
}

impl Remote {
    fn end(&self) {
        self.0.lock().unwrap().has_ended = true;
        self.wake();
    }

    fn wake(&self) {
        let waker = self.0.lock().unwrap().waker.clone();
        waker.unwrap().wake();
    }

    fn n_polled(&self) -> usize {
        self.0.lock().unwrap().n_polled
    }
}

/// Ends when its remote says so, with its number.
struct Numbered(usize, Remote);

impl Future for Numbered {
    type Output = usize;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<usize> {
        let mut state = self.1.0.lock().unwrap();
        state.n_polled += 1;
        state.waker = Some(context.waker().clone());
        if state.wakes_itself {
            context.waker().wake_by_ref();
        }
        match state.has_ended {
            true => Poll::Ready(self.0),
            false => Poll::Pending,
        }
    }
}

/// A flight, its owner and the remotes of those in it.
#[derive(Default)]
struct Scene {
    flight: Flight<Numbered>,
    owner: Arc<Owner>,
    remotes: Vec<Remote>,
}

impl Scene {
    fn of(n_futures: usize) -> Scene {
        let mut scene = Scene::default();
        for _ in 0..n_futures {
            scene.launch();
        }
        scene
    }

    fn launch(&mut self) -> Remote {
        let remote = Remote::default();
        let number = self.remotes.len();
        assert!(
            self.flight
                .launch(Numbered(number, remote.clone()))
                .is_pending()
        );
        self.remotes.push(remote.clone());
        remote
    }

    fn poll(&mut self) -> Poll<Option<usize>> {
        let waker = Waker::from(Arc::clone(&self.owner));
        self.flight.poll_ended(&mut Context::from_waker(&waker))
    }
}

#[test]
fn nobody_is_polled_or_woken_for_nothing() {
    let mut scene = Scene::of(3);
    for _ in 0..2 {
        assert_eq!(scene.poll(), Poll::Pending);
    }
    assert_eq!(scene.owner.n_woken(), 0);
    scene.remotes[1].wake();
    scene.remotes[1].wake();
    assert_eq!(scene.owner.n_woken(), 1);
    assert_eq!(scene.poll(), Poll::Pending);
    let polls: Vec<_> = scene.remotes.iter().map(Remote::n_polled).collect();
    assert_eq!(polls, [1, 2, 1]);
}

#[test]
fn what_ends_is_told_once_and_in_the_order_of_the_ends() {
    let mut scene = Scene::of(3);
    for number in [2, 0, 1] {
        scene.remotes[number].end();
    }
    assert_eq!(scene.poll(), Poll::Ready(Some(2)));
    assert_eq!(scene.poll(), Poll::Ready(Some(0)));
    assert_eq!(scene.poll(), Poll::Ready(Some(1)));
    assert_eq!(scene.poll(), Poll::Ready(None));
}

#[test]
fn who_is_always_ready_makes_way() {
    let mut scene = Scene::of(2);
    scene.remotes[0].0.lock().unwrap().wakes_itself = true;
    assert_eq!(scene.poll(), Poll::Pending);
    scene.remotes[0].wake();
    let n_before = scene.owner.n_woken();
    assert_eq!(scene.poll(), Poll::Pending, "the owner has its own turn");
    assert_eq!(scene.owner.n_woken(), n_before + 1, "and comes back");
    scene.remotes[1].end();
    assert_eq!(scene.poll(), Poll::Ready(Some(1)), "as the others have");
}

#[test]
fn a_waker_that_is_kept_too_long_wakes_who_came_after() {
    let mut scene = Scene::of(1);
    scene.remotes[0].end();
    let late = scene.remotes[0].0.lock().unwrap().waker.clone().unwrap();
    assert_eq!(scene.poll(), Poll::Ready(Some(0)));
    late.wake_by_ref();
    assert_eq!(scene.poll(), Poll::Ready(None), "an empty seat");
    let next = scene.launch();
    late.wake();
    assert_eq!(scene.poll(), Poll::Pending);
    next.end();
    assert_eq!(scene.poll(), Poll::Ready(Some(1)));
}

#[test]
fn what_is_dropped_is_dropped_at_once() {
    let mut scene = Scene::of(2);
    scene.flight = Flight::default();
    for remote in &scene.remotes {
        remote.wake();
    }
    assert_eq!(scene.poll(), Poll::Ready(None));
}

/// Ends when the count is there. Reads it and does nothing else: no lock orders what it sees.
struct Awaited {
    count: Arc<AtomicUsize>,
    goal: usize,
}

impl Future for Awaited {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        match self.count.load(Ordering::Acquire) >= self.goal {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }
}

/// What changes while a future is polled that was woken for something else before is not missed. Two threads meet there many
/// times, and now and then at the one moment that matters.
#[test]
fn who_is_woken_while_it_is_polled_is_polled_again() {
    const ROUNDS: usize = 10_000;
    let mut flight = Flight::default();
    let [asked, count, rung] = [(); 3].map(|()| Arc::<AtomicUsize>::default());
    let seat = flight.add_seat();
    flight.free.push(seat);
    // All of them have this seat, one after the other.
    let waker = flight.seats[seat].waker.clone();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 1..=ROUNDS {
                wait_for(&asked, round);
                waker.wake_by_ref();
                (0..round % 64).for_each(|_| std::hint::spin_loop());
                count.store(round, Ordering::Release);
                waker.wake_by_ref();
                rung.store(round, Ordering::Release);
            }
        });
        let mut context = Context::from_waker(Waker::noop());
        for goal in 1..=ROUNDS {
            let count = Arc::clone(&count);
            assert!(flight.launch(Awaited { count, goal }).is_pending());
            asked.store(goal, Ordering::Release);
            let mut n_looks = 0;
            let is_missed = loop {
                let is_last = rung.load(Ordering::Acquire) == goal;
                if flight.poll_ended(&mut context).is_ready() {
                    break false;
                }
                if is_last {
                    break true;
                }
                make_way(&mut n_looks);
            };
            // The other thread goes through all rounds whatever happens, or the test would not end.
            if is_missed {
                asked.store(ROUNDS, Ordering::Release);
                panic!("round {goal}: nobody polled it after it was woken for the last time");
            }
            wait_for(&rung, goal);
        }
    });
}

fn wait_for(number: &AtomicUsize, at_least: usize) {
    let mut n_looks = 0;
    while number.load(Ordering::Acquire) < at_least {
        make_way(&mut n_looks);
    }
}

/// Waits for a moment; on one core the other thread needs this one now and then.
fn make_way(n_looks: &mut u32) {
    *n_looks += 1;
    match n_looks.is_multiple_of(1000) {
        true => std::thread::yield_now(),
        false => std::hint::spin_loop(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever is launched, woken and ended in whatever order, each that ended is told of, and no other.
    #[test]
    fn each_end_is_told(actions in prop::collection::vec((0..4_usize, any::<prop::sample::Index>()), 0..200)) {
        let mut scene = Scene::default();
        let (mut ended, mut told) = (Vec::new(), Vec::new());
        let mut alive: Vec<usize> = Vec::new();
        for (action, which) in actions {
            match action {
                0 => {
                    alive.push(scene.remotes.len());
                    scene.launch();
                }
                1 if !alive.is_empty() => {
                    let number = alive.swap_remove(which.index(alive.len()));
                    scene.remotes[number].end();
                    ended.push(number);
                }
                2 if !scene.remotes.is_empty() => {
                    scene.remotes[which.index(scene.remotes.len())].wake();
                }
                _ => {
                    if let Poll::Ready(Some(number)) = scene.poll() {
                        told.push(number);
                    }
                }
            }
            prop_assert_eq!(scene.flight.len(), scene.remotes.len() - told.len());
        }
        while let Poll::Ready(Some(number)) = scene.poll() {
            told.push(number);
        }
        ended.sort_unstable();
        told.sort_unstable();
        prop_assert_eq!(told, ended);
        prop_assert_eq!(scene.flight.len(), alive.len());
    }
}
