//! Labels whose values are known when the program is compiled.

pub use hooklane_model::label::LabelValue;

/// One handle for each value of a label.
#[derive(Clone, Debug)]
pub struct By<L, H> {
    handles: Box<[H]>,
    label: std::marker::PhantomData<L>,
}

impl<L: LabelValue, H> By<L, H> {
    /// `handles` in the order of [`LabelValue::ALL`].
    pub(super) fn new(handles: Vec<H>) -> Self {
        Self {
            handles: handles.into(),
            label: std::marker::PhantomData,
        }
    }

    /// The handle of that value.
    #[must_use]
    pub fn get(&self, value: L) -> &H {
        &self.handles[value.index()]
    }

    /// All of them with their values, for sums.
    pub fn iter(&self) -> impl Iterator<Item = (L, &H)> {
        L::ALL.iter().copied().zip(self.handles.iter())
    }
}

/// One handle for each pair of values of two labels.
#[derive(Clone, Debug)]
pub struct By2<A, B, H> {
    handles: Box<[H]>,
    labels: std::marker::PhantomData<(A, B)>,
}

impl<A: LabelValue, B: LabelValue, H> By2<A, B, H> {
    /// `handles` with the second label running fastest.
    pub(super) fn new(handles: Vec<H>) -> Self {
        Self {
            handles: handles.into(),
            labels: std::marker::PhantomData,
        }
    }

    /// The handle of that pair.
    #[must_use]
    pub fn get(&self, a: A, b: B) -> &H {
        &self.handles[a.index() * B::ALL.len() + b.index()]
    }
}
