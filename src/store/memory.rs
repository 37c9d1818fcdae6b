//! Nothing outlives the process: tests and throwaway runs.
