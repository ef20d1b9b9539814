//! What has ended, until all before it has. Owns the order, and how much may wait for one that is slow.

use std::collections::VecDeque;

/// How many may wait for a slower one before them, unless several times as many go on at once.
const MOST: usize = 1000;

/// How many bytes of text may wait.
const MOST_BYTES: usize = 64 << 20;

/// What has ended and waits for its turn.
pub struct Window<T> {
    /// From the first that has not ended on.
    ended: VecDeque<Option<(T, usize)>>,
    first: usize,
    n_waiting: usize,
    n_bytes: usize,
    most: usize,
}

impl<T> Window<T> {
    /// Nothing has ended; what has this number comes first.
    pub fn starting_at(first: usize, at_once: usize) -> Window<T> {
        Window {
            ended: VecDeque::new(),
            first,
            n_waiting: 0,
            n_bytes: 0,
            most: MOST.max(4 * at_once),
        }
    }

    /// Whether nothing more should be begun until the first has ended.
    pub fn is_full(&self) -> bool {
        self.n_waiting >= self.most || self.n_bytes >= MOST_BYTES
    }

    /// Takes in what has this number, and so many bytes.
    pub fn add(&mut self, number: usize, what: T, n_bytes: usize) {
        let place = number - self.first;
        if self.ended.len() <= place {
            self.ended.resize_with(place + 1, || None);
        }
        self.ended[place] = Some((what, n_bytes));
        self.n_waiting += 1;
        self.n_bytes += n_bytes;
    }

    /// Takes out the first, if it has ended.
    pub fn next(&mut self) -> Option<T> {
        let (what, n_bytes) = self.ended.front_mut()?.take()?;
        self.ended.pop_front();
        self.first += 1;
        self.n_waiting -= 1;
        self.n_bytes -= n_bytes;
        Some(what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_come_out_in_their_order() {
        for order in [[3, 4, 5, 6], [6, 5, 4, 3], [4, 3, 6, 5], [5, 3, 4, 6]] {
            let mut window = Window::starting_at(3, 1);
            let mut out = Vec::new();
            for number in order {
                window.add(number, number, 1);
                while let Some(number) = window.next() {
                    out.push(number);
                }
            }
            assert_eq!(out, [3, 4, 5, 6], "{order:?}");
            assert_eq!((window.n_waiting, window.n_bytes), (0, 0));
        }
    }

    #[test]
    fn it_is_full_of_many_or_of_large_ones_until_the_first_has_ended() {
        let fill = |at_once: usize, n_bytes: usize| {
            let mut window = Window::starting_at(0, at_once);
            let mut number = 0;
            while !window.is_full() {
                number += 1;
                window.add(number, number, n_bytes);
            }
            window.add(0, 0, 0);
            let out = std::iter::from_fn(|| window.next()).count();
            assert!(out == number + 1 && !window.is_full());
            number
        };
        assert_eq!(fill(1, 0), 1000);
        assert_eq!(fill(500, 0), 2000);
        assert_eq!(fill(1, 32 << 20), 2);
    }
}
