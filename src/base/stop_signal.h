// SIGINT and SIGTERM as a request to finish what is under way, save and end.
#pragma once

namespace switchyard {

/// From now on the first SIGINT or SIGTERM is only noted; the same signal again ends the process.
void install_stop_handlers();

/// The signal noted, or 0.
int stop_signal();

}  // namespace switchyard
