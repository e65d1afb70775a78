// lwIP includes it but needs nothing of it.
#pragma once
