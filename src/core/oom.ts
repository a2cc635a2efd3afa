/**
 * Whom the kernel ends first when memory is used up: `oom_score_adj`, from −1000 (never) to 1000 (first). It counts in thousandths of the
 * memory that can be used, on top of what a process takes of it. See proc_pid_oom_score_adj(5).
 */

export type OomRole = 'daemon' | 'active' | 'other'

/**
 * The daemon lives longest, and its holders with it, which inherit: they are small, and without them nobody is there to start anything again.
 * An active release counts as any program of the machine does. Whatever of an app does not serve goes before all that do, however large those are:
 * what stands by or drains, what is on its way to serve, and a `build`.
 * @param inherited what this process was started with: whoever chose that an app may be ended more easily is heard, and nobody lives longer
 * than programs usually do because the daemon does
 */
export function oomScoreOf(role: OomRole, inherited: number): number {
  switch (role) {
    case 'daemon':
      return Math.min(-900, inherited)
    case 'active':
      return Math.max(0, inherited)
    case 'other':
      return 1000
  }
}
